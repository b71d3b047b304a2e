import { SourceError } from "../errors.ts";
import { isGgufModel } from "../gguf-conventions.ts";

/** What a name of a model on the Hugging Face Hub says. */
export interface HubName {
	/** "owner/name". */
	readonly repo: string;
	/** A branch, a tag, or a commit. */
	readonly revision?: string;
	/** Which of a repository's GGUF files: a part of its name, "Q4_K_M". */
	readonly quant?: string;
	/** Path of a file in the repository. */
	readonly file?: string;
}

const HUB_HOSTS = ["huggingface.co", "hf.co"];
/** First steps of addresses of the Hub that are no owners of models. */
const NOT_OWNERS = ["api", "blog", "collections", "datasets", "docs", "spaces"];

/** Reads "owner/name", "owner/name@revision", "owner/name:quant" or both; undefined for what is no such name. */
export function parseHubName(text: string): HubName | undefined {
	const match = /^([^@:]+)(@[^@:]+)?(:[^@:]+)?$/.exec(text);
	const [, repo = "", revision, quant] = match ?? [];
	if (!isRepo(repo)) return undefined;
	return {
		repo,
		...(revision && { revision: revision.slice(1) }),
		...(quant && { quant: quant.slice(1) }),
	};
}

/** Reads the address of a model's page or file on the Hub; undefined for any other. */
export function parseHubUrl(url: URL): HubName | undefined {
	if (!HUB_HOSTS.includes(url.hostname)) return undefined;
	const [owner = "", name = "", kind, revision, ...path] = steps(url);
	const repo = `${owner}/${name}`;
	if (NOT_OWNERS.includes(owner) || !isRepo(repo)) return undefined;
	if (kind === undefined) return { repo };
	if (revision === undefined) return undefined;
	if (kind === "tree" && path.length === 0) return { repo, revision };
	if ((kind === "blob" || kind === "resolve") && path.length > 0)
		return { repo, revision, file: path.join("/") };
	return undefined;
}

/**
 * The GGUF file that a quant names: the one with this word in its path, and of a split model the first part.
 * Words are what stands between "/", "." and "-"; an underscore may only come before, so that Q4_K is not Q4_K_M.
 */
export function chooseQuant(
	repo: string,
	files: readonly string[],
	quant: string,
): string {
	const word = new RegExp(
		`(^|[-._/])${quant.replace(/[^\w-]/g, "\\$&")}(?=[-./])`,
		"i",
	);
	const models = files.filter(isGgufModel);
	const found = models.filter((file) => word.test(file));
	if (found.length === 1) return found[0]!;
	const [count, listed] =
		found.length > 1
			? [`${found.length} GGUF files are "${quant}"`, found]
			: [`no GGUF file is "${quant}"`, models];
	throw new SourceError(
		`${repo}: ${count}; there ${listed.length === 0 ? "is none" : `are ${listed.join(", ")}`}`,
	);
}

function steps({ pathname }: URL): string[] {
	try {
		return pathname
			.split("/")
			.filter((step) => step !== "")
			.map(decodeURIComponent);
	} catch {
		return [];
	}
}

/** The Hub's own rules, by which "--" separates owner and name in the cache. */
function isRepo(repo: string): boolean {
	const steps = repo.split("/");
	return (
		steps.length === 2 &&
		steps.every((step) => /^[A-Za-z0-9]([\w.-]{0,94}\w)?$/.test(step)) &&
		!/--|\.\.|\.git$/.test(repo)
	);
}
