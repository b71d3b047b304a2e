import { OptionError, SourceError } from "../errors.ts";
import { blobSource, filesRepository } from "./blob.ts";
import { bytesSource } from "./bytes.ts";
import { type HubSurroundings, type OpenHubOptions, openHub } from "./hub.ts";
import { type HubName, parseHubName, parseHubUrl } from "./hub-name.ts";
import type { ByteSource, Repository } from "./source.ts";
import { urlRepository, urlSource } from "./url.ts";

/**
 * Where a checkpoint is: a path or an http(s) URL, of a file or of a folder; a model on the Hugging Face Hub,
 * "owner/name", with "@revision" and ":quant" (of a GGUF file) where needed; bytes; a Blob or File; the files of a folder
 * that was dropped or picked; or an object that reads bytes or opens files itself. A path that exists comes before the Hub.
 */
export type Source =
	| string
	| URL
	| Uint8Array
	| ArrayBuffer
	| Blob
	| FileList
	| readonly File[]
	| ByteSource
	| Repository;

/** A source that has been found: bytes or files, and which of the files was meant. */
export interface OpenedSource {
	readonly from: ByteSource | Repository;
	/** The checkpoint's file in the repository, where the source named one. */
	readonly file?: string;
}

export interface OpenSourceOptions
	extends Omit<OpenHubOptions, "surroundings"> {
	/** Opens a path of the local file system, as far as the runtime has one; undefined where there is nothing. */
	readonly openPath?:
		| ((path: string) => Promise<ByteSource | Repository | undefined>)
		| undefined;
	/** What the runtime knows of the Hub. */
	readonly surroundings?: (() => Promise<HubSurroundings>) | undefined;
}

const CHECKPOINT_FILE = /\.(gguf|safetensors|bin|pt|pth|pte|json)$/i;

/** Throws SourceError where there is nothing, OptionError for what is no source. */
export async function openSource(
	source: Source,
	options: OpenSourceOptions = {},
): Promise<OpenedSource> {
	if (typeof source === "string" && /^https?:\/\//i.test(source))
		return openUrl(new URL(source), options);
	if (typeof source === "string") return openLocal(source, options);
	if (source instanceof URL)
		return source.protocol === "file:"
			? openLocal(filePath(source), options)
			: openUrl(source, options);
	if (source instanceof Uint8Array || source instanceof ArrayBuffer)
		return { from: bytesSource(source) };
	if (source instanceof Blob) return { from: blobSource(source) };
	if (isRepository(source) || isByteSource(source)) return { from: source };
	if (typeof source === "object" && source !== null && "length" in source)
		return { from: filesRepository(source) };
	throw new OptionError(
		`source is ${String(source)}, expected a path, a URL, bytes, a Blob, files, or an object with read() or open()`,
	);
}

/**
 * A model's address on the Hub stands for the model. A checkpoint's URL stands for the folder around it, where its
 * configuration and tokenizer are; any other one for a folder.
 */
async function openUrl(
	url: URL,
	options: OpenSourceOptions,
): Promise<OpenedSource> {
	const name = parseHubUrl(url);
	if (name) return openNamed(name, options);
	const { signal } = options;
	const http = signal ? { signal } : {};
	const file = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
	if (!CHECKPOINT_FILE.test(file)) return { from: urlRepository(url, http) };
	const folder = urlRepository(new URL(".", url), http);
	return {
		from: {
			...folder,
			// Its own address may carry a query that its folder's does not.
			open: (name) =>
				name === file ? urlSource(url, http) : folder.open(name),
		},
		file,
	};
}

/** A checkpoint's path stands for the folder around it; what is no path may be on the Hub. */
async function openLocal(
	path: string,
	options: OpenSourceOptions,
): Promise<OpenedSource> {
	const { openPath } = options;
	const found = await openPath?.(path);
	const name = CHECKPOINT_FILE.test(path) ? undefined : parseHubName(path);
	if (found === undefined && name) return openNamed(name, options);
	if (found === undefined)
		throw new SourceError(
			openPath
				? `${path}: no such file or folder, nor a name of the form owner/name`
				: `${path}: this runtime has no file system, expected a model on the Hub (owner/name), a URL, bytes, a Blob or files`,
		);
	if (isRepository(found)) return { from: found };
	const slash = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
	const folder = await openPath?.(path.slice(0, slash) || ".");
	await found.close?.();
	return folder && isRepository(folder)
		? { from: { ...folder, name: path }, file: path.slice(slash) }
		: { from: found };
}

async function openNamed(
	name: HubName,
	{ surroundings, ...options }: OpenSourceOptions,
): Promise<OpenedSource> {
	return openHub(name, { ...options, surroundings: await surroundings?.() });
}

/** Path of a file: URL; Windows drives lose the slash before them. */
const filePath = (url: URL): string =>
	decodeURIComponent(url.pathname).replace(/^\/([A-Za-z]:)/, "$1");

const isRepository = (value: object): value is Repository =>
	"open" in value && typeof value.open === "function";
const isByteSource = (value: object): value is ByteSource =>
	"read" in value && typeof value.read === "function";
