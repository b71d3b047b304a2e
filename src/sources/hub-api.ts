import { SourceError } from "../errors.ts";
import { type Address, addressOf, get, type UrlOptions } from "./http.ts";

/** A repository of the Hub that can be asked. `fetch` is all it takes, in every runtime; @huggingface/hub would bring more packages, one of them WebAssembly. */
export interface Hub {
	/** "owner/name". */
	readonly repo: string;
	/** Address without a slash at its end. */
	readonly endpoint: string;
	/** For all requests about the repository: sends the token to the endpoint alone, and explains refusals. */
	readonly http: UrlOptions;
}

/** A file as the Hub describes it. */
export interface HubFile {
	/** Relative, with "/" between folders; never leads out of the repository. */
	readonly path: string;
	readonly sizeBytes: number;
	/**
	 * What the contents hash to, which names them in caches: 64 digits of SHA-256, or 40 of the SHA-1 of a git blob.
	 * Undefined where only a copy of the file is known.
	 */
	readonly etag: string | undefined;
	/** SHA-1 of the git blob, which for a large file is only a pointer to it. */
	readonly blobId?: string;
	/** Its name in the Hub's newer storage. */
	readonly xetHash?: string;
}

/** More than any model has; a list without an end must not fill the memory. */
const MAX_FILES = 100_000;
const MAX_ANSWER_BYTES = 32 * 2 ** 20;
const MAX_REDIRECTS = 10;

export function connect(
	repo: string,
	endpoint: string,
	token: string | undefined,
	http: UrlOptions,
): Hub {
	const hub = { repo, endpoint: endpoint.replace(/\/+$/, "") };
	const { origin } = new URL(addressOf(endpoint).href);
	const explain = (response: Response) =>
		new URL(response.url || endpoint).origin === origin
			? refusal(hub, response, token !== undefined)
			: undefined;
	return {
		...hub,
		http: {
			...http,
			...(token !== undefined && {
				headers: { authorization: `Bearer ${token}` },
			}),
			fetch: guarded(http.fetch ?? fetch, token !== undefined, explain),
		},
	};
}

/** The commit that a branch, a tag or a shortened commit stands for now. */
export async function askCommit(hub: Hub, revision: string): Promise<string> {
	const { url, value } = await askJson(
		hub,
		`${hub.endpoint}/api/models/${hub.repo}/revision/${encodeURIComponent(revision)}`,
	);
	const { sha } = isRecord(value) ? value : {};
	if (typeof sha === "string" && isCommit(sha)) return sha;
	throw new SourceError(`${url}: names no commit`, { url });
}

/** All files of a commit. */
export async function askFiles(
	hub: Hub,
	commit: string,
): Promise<readonly HubFile[]> {
	const files: HubFile[] = [];
	const first = `${hub.endpoint}/api/models/${hub.repo}/tree/${commit}?recursive=1`;
	for (let page: string | undefined = first; page !== undefined; ) {
		const { url, value, next } = await askJson(hub, page);
		if (!Array.isArray(value))
			throw new SourceError(`${url}: is not a list of files`, { url });
		for (const entry of value) {
			if (!isRecord(entry) || entry.type !== "file") continue;
			files.push(hubFile(entry, url));
		}
		if (files.length > MAX_FILES || next === page)
			throw new SourceError(
				`${url}: lists more than ${MAX_FILES} files, or has no end`,
				{ url },
			);
		page = next;
	}
	return files;
}

/** Address of a file's contents. */
export function fileUrl(hub: Hub, commit: string, path: string): string {
	const steps = path.split("/").map(encodeURIComponent).join("/");
	return `${hub.endpoint}/${hub.repo}/resolve/${commit}/${steps}`;
}

export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/** Whether a path or a branch stays inside its folder on every system. */
export const staysInside = (path: string): boolean =>
	!/[\\:\0]/.test(path) &&
	path.split("/").every((step) => step !== "" && !/^\.+$/.test(step));

export const isEtag = (value: unknown): value is string =>
	typeof value === "string" && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(value);

export const isSize = (value: unknown): value is number =>
	Number.isSafeInteger(value) && (value as number) >= 0;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
	typeof value === "object" && value !== null && !Array.isArray(value);

function hubFile(entry: Record<string, unknown>, url: string): HubFile {
	const { path, oid, lfs, xetHash } = entry;
	const [etag, size] = isRecord(lfs) ? [lfs.oid, lfs.size] : [oid, entry.size];
	if (
		typeof path !== "string" ||
		!staysInside(path) ||
		!isEtag(oid) ||
		!isEtag(etag) ||
		!isSize(size)
	)
		throw new SourceError(
			`${url}: describes a file that cannot be: ${JSON.stringify(entry).slice(0, 200)}`,
			{ url },
		);
	return {
		path,
		sizeBytes: size,
		etag,
		blobId: oid,
		...(typeof xetHash === "string" && { xetHash }),
	};
}

async function askJson(
	hub: Hub,
	page: string,
): Promise<{ url: string; value: unknown; next: string | undefined }> {
	const address = addressOf(page);
	const url = address.shown;
	return get(address, undefined, hub.http, async (response, pieces) => {
		const { status } = response;
		if (status !== 200)
			throw new SourceError(`${url}: the server answered ${status}`, {
				status,
				url,
			});
		const decoder = new TextDecoder();
		let text = "";
		let bytes = 0;
		for await (const piece of pieces) {
			text += decoder.decode(piece, { stream: true });
			bytes += piece.length;
			if (bytes > MAX_ANSWER_BYTES)
				throw new SourceError(
					`${url}: answered with more than ${MAX_ANSWER_BYTES} bytes`,
					{ status, url },
				);
		}
		return { url, value: parse(text, url), next: nextPage(response, address) };
	});
}

function parse(text: string, url: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		throw new SourceError(
			`${url}: did not answer with JSON; is this the address of a Hugging Face Hub?`,
			{ url },
		);
	}
}

/** `Link: <…?cursor=…>; rel="next"`. Only on the same server, because the token goes with the request. */
function nextPage(response: Response, address: Address): string | undefined {
	const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(
		response.headers.get("link") ?? "",
	);
	if (!link) return undefined;
	const next = new URL(link[1]!, address.href);
	if (next.origin === new URL(address.href).origin) return next.href;
	throw new SourceError(
		`${address.shown}: continues on another server, ${next.origin}`,
		{ url: address.shown },
	);
}

/**
 * A fetch that takes the token off a request before it goes to another server: large files lie on one that must not see
 * it, and not every runtime does so by itself.
 */
function guarded(
	ask: typeof fetch,
	hasToken: boolean,
	explain: (response: Response) => SourceError | undefined,
): typeof fetch {
	let guards = hasToken;
	return async (input, init) => {
		const headers = new Headers(init?.headers);
		let url = String(input);
		for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
			const redirect = guards ? "manual" : "follow";
			const response = await ask(url, { ...init, headers, redirect });
			const location = isRedirect(response)
				? response.headers.get("location")
				: null;
			if (location === null && response.type === "opaqueredirect") {
				// A browser, which shows code no redirects and takes the token off by itself.
				guards = false;
				continue;
			}
			if (location === null) {
				const refused =
					response.status >= 400 && response.status < 500
						? explain(response)
						: undefined;
				if (refused) throw refused;
				return response;
			}
			await response.body?.cancel();
			const next = addressOf(new URL(location, url));
			if (new URL(next.href).origin !== new URL(url).origin)
				headers.delete("authorization");
			url = next.href;
		}
		throw new SourceError(`${addressOf(url).shown}: redirects in a circle`);
	};
}

const isRedirect = ({ status }: Response): boolean =>
	status >= 300 && status < 400;

/** What to do about a refusal of the Hub; undefined where only waiting or another address helps. */
function refusal(
	{ repo, endpoint }: Pick<Hub, "repo" | "endpoint">,
	response: Response,
	hasToken: boolean,
): SourceError | undefined {
	const { status, headers } = response;
	const url = addressOf(response.url || endpoint).shown;
	const error = (message: string) =>
		new SourceError(`${repo}: ${message}`, { status, url });
	const code = headers.get("x-error-code");
	const giveToken = "give a token, as option `hub.token` or in HF_TOKEN";
	if (code === "GatedRepo")
		return error(
			`its licence has to be accepted first, at ${endpoint}/${repo}; then ${hasToken ? "use a token of the account that accepted it" : giveToken} (${status})`,
		);
	if (code === "RevisionNotFound")
		return error(`has no such branch, tag or commit: ${url} (${status})`);
	if (code === "EntryNotFound")
		return error(`has no such file: ${url} (${status})`);
	if (/invalid credentials/i.test(headers.get("x-error-message") ?? ""))
		return error(
			`the token is not valid, or no longer; make another at ${endpoint}/settings/tokens, or give none (${status})`,
		);
	if (status === 403)
		return error(
			`${hasToken ? "the token does not allow it to be read" : `may not be read without a token; ${giveToken}`} (${status})`,
		);
	if (status === 401 || status === 404)
		return error(
			`there is no such model at ${endpoint}, or it is private and ${hasToken ? "the token may not read it" : `needs a token: ${giveToken}`} (${status})`,
		);
	return undefined;
}
