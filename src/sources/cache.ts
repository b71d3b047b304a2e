import { SourceError } from "../errors.ts";
import type { HubFile } from "./hub-api.ts";
import type { Hasher } from "./sha.ts";
import type { ByteSource } from "./source.ts";

/** A file of the Hub, and where it belongs. */
export interface HubEntry {
	/** "owner/name". */
	readonly repo: string;
	readonly commit: string;
	readonly file: HubFile;
}

/**
 * Files of the Hub that are kept on this machine. A file is named by what its contents hash to, so that commits share it
 * and two writers can only write the same.
 */
export interface HubCache {
	/** The commit that a branch or tag stood for when it was last asked for. */
	readRef(repo: string, revision: string): Promise<string | undefined>;
	writeRef(repo: string, revision: string, commit: string): Promise<void>;
	/** What is known of a commit's files: all of them, or as many as are here. */
	readFiles(
		repo: string,
		commit: string,
	): Promise<{ files: readonly HubFile[]; complete: boolean } | undefined>;
	/** Remembers all files of a commit. */
	writeFiles(
		repo: string,
		commit: string,
		files: readonly HubFile[],
	): Promise<void>;
	/** The file as it is here, whole or not; undefined where it is not. */
	find(entry: HubEntry): Promise<ByteSource | undefined>;
	/** Whether the file has been found intact before and was not touched since. */
	isVerified(entry: HubEntry): Promise<boolean>;
	markVerified(entry: HubEntry): Promise<void>;
	remove(entry: HubEntry): Promise<void>;
	/** Waits until nobody else writes the file, in whichever process or tab; the returned function lets the next one in. */
	lock(entry: HubEntry, signal?: AbortSignal): Promise<() => Promise<void>>;
	/** The file as far as earlier attempts have come. */
	openPartial(entry: HubEntry): Promise<PartialFile>;
	/** A hash as fast as the runtime has one. */
	hasher(algorithm: "sha1" | "sha256"): Hasher;
}

/** A file that is being written from its start to its end. */
export interface PartialFile {
	/** Bytes that are there. */
	readonly sizeBytes: number;
	read(offset: number, length: number): Promise<Uint8Array>;
	/** Appends bytes, which may be reused afterwards. */
	write(bytes: Uint8Array): Promise<void>;
	/** Makes it the file that `find` finds, all at once. Ends this object, as the next two do. */
	publish(): Promise<void>;
	discard(): Promise<void>;
	/** Leaves what is there for another attempt. */
	close(): Promise<void>;
}

/** What happens to one file, in the shape that users of transformers.js know. */
export interface DownloadProgress {
	/** "initiate": looked for; "download": not here, will be fetched; "done": here. */
	readonly status: "initiate" | "download" | "progress" | "done";
	/** Path in the repository. */
	readonly file: string;
	/** Bytes of the file so far, including those of earlier attempts. */
	readonly loaded: number;
	/** Bytes of the file. */
	readonly total: number;
	/** loaded / total in percent, 0 to 100. */
	readonly progress: number;
}

export interface CacheOptions {
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Fetches what is missing of a file. */
export type FetchRest = (
	fromBytes: number,
	write: (piece: Uint8Array) => Promise<void>,
) => Promise<void>;

/** Files up to here are hashed whenever they are opened, larger ones once. */
const SMALL_BYTES = 16 * 2 ** 20;
const PIECE_BYTES = 4 * 2 ** 20;
const PROGRESS_MILLISECONDS = 100;

/** The file from the cache, if it is there and intact. */
export async function findCached(
	cache: HubCache,
	entry: HubEntry,
	{ signal, onProgress }: CacheOptions = {},
): Promise<ByteSource | undefined> {
	const found = await cache.find(entry);
	if (!found || !(await isIntact(cache, entry, found, signal)))
		return undefined;
	const report = reporter(entry.file, onProgress);
	report("initiate", 0);
	report("done", found.size);
	return found;
}

/** Size and hash are those that the Hub says. What is not is closed. */
async function isIntact(
	cache: HubCache,
	entry: HubEntry,
	found: ByteSource,
	signal: AbortSignal | undefined,
): Promise<boolean> {
	let intact = false;
	try {
		intact = await hasHash(cache, entry, found, signal);
		return intact;
	} finally {
		if (!intact) await found.close?.();
	}
}

async function hasHash(
	cache: HubCache,
	entry: HubEntry,
	found: ByteSource,
	signal: AbortSignal | undefined,
): Promise<boolean> {
	const { file } = entry;
	if (found.size !== file.sizeBytes) return false;
	if (file.etag === undefined) return true;
	if (isLarge(file) && (await cache.isVerified(entry))) return true;
	const hasher = hasherOf(cache, file);
	await hashInto(hasher, found, found.size, signal);
	if (hasher.digest() !== file.etag) return false;
	await rememberVerified(cache, entry);
	return true;
}

async function rememberVerified(cache: HubCache, entry: HubEntry) {
	if (isLarge(entry.file)) await note(cache.markVerified(entry));
}

const isLarge = ({ sizeBytes }: HubFile) => sizeBytes > SMALL_BYTES;

/**
 * Fetches what is missing of a file into the cache, and opens it there. A damaged one is removed before.
 * @throws (rejects with) SourceError where what comes is not what the Hub describes, and what `fetchRest` throws
 */
export async function fetchCached(
	cache: HubCache,
	entry: HubEntry,
	fetchRest: FetchRest,
	{ signal, onProgress }: CacheOptions = {},
): Promise<ByteSource> {
	const report = reporter(entry.file, onProgress);
	report("initiate", 0);
	const found = await locked(cache, entry, signal, async () => {
		// Whoever held the lock may have fetched it.
		const found = await cache.find(entry);
		if (found && (await isIntact(cache, entry, found, signal))) return found;
		if (found) await cache.remove(entry);
		await fetchVerified(cache, entry, fetchRest, report, signal);
		return cache.find(entry);
	});
	if (found?.size !== entry.file.sizeBytes)
		throw new SourceError(
			`${entry.repo}: ${entry.file.path} disappeared from the cache while it was opened`,
		);
	report("done", found.size);
	return found;
}

async function fetchVerified(
	cache: HubCache,
	entry: HubEntry,
	fetchRest: FetchRest,
	report: Report,
	signal: AbortSignal | undefined,
): Promise<void> {
	const { path, sizeBytes, etag } = entry.file;
	let came = "";
	// Twice, because what an earlier attempt left may be what is wrong.
	for (let attempt = 0; attempt < 2; attempt++) {
		const partial = await cache.openPartial(entry);
		const hasher = hasherOf(cache, entry.file);
		let ended = false;
		try {
			if (partial.sizeBytes <= sizeBytes) {
				report("download", partial.sizeBytes);
				await hashInto(hasher, partial, partial.sizeBytes, signal);
				await fetchRest(partial.sizeBytes, async (piece) => {
					await partial.write(piece);
					hasher.update(piece);
					report("progress", partial.sizeBytes);
				});
				came = hasher.digest();
				ended = true;
				if (etag === undefined || came === etag) {
					await partial.publish();
					await rememberVerified(cache, entry);
					return;
				}
			}
			ended = true;
			await partial.discard();
		} finally {
			if (!ended) await partial.close();
		}
	}
	throw new SourceError(
		`${entry.repo}: what came for ${path} hashes to ${came}, expected ${etag}; does something between here and the Hub change it?`,
	);
}

async function locked<T>(
	cache: HubCache,
	entry: HubEntry,
	signal: AbortSignal | undefined,
	work: () => Promise<T>,
): Promise<T> {
	const release = await cache.lock(entry, signal);
	try {
		return await work();
	} finally {
		await release();
	}
}

/** What cannot be noted, because the cache may only be read, is found out again the next time. */
export const note = (writing: Promise<void>): Promise<void> =>
	writing.catch(() => {});

/** SHA-256 of the contents, or what git does: SHA-1 of "blob", the size, and the contents. */
function hasherOf(cache: HubCache, { etag, sizeBytes }: HubFile): Hasher {
	if (etag?.length !== 40) return cache.hasher("sha256");
	const hasher = cache.hasher("sha1");
	hasher.update(new TextEncoder().encode(`blob ${sizeBytes}\0`));
	return hasher;
}

async function hashInto(
	hasher: Hasher,
	from: Pick<ByteSource, "read">,
	size: number,
	signal: AbortSignal | undefined,
): Promise<void> {
	for (let at = 0; at < size; at += PIECE_BYTES) {
		signal?.throwIfAborted();
		hasher.update(await from.read(at, Math.min(PIECE_BYTES, size - at)));
	}
}

type Report = (status: DownloadProgress["status"], loaded: number) => void;

/** Reports progress ten times a second, and everything else at once. */
function reporter(
	{ path, sizeBytes }: HubFile,
	onProgress: CacheOptions["onProgress"],
): Report {
	let last = 0;
	return (status, loaded) => {
		const now = performance.now();
		if (status === "progress" && now - last < PROGRESS_MILLISECONDS) return;
		last = now;
		onProgress?.({
			status,
			file: path,
			loaded,
			total: sizeBytes,
			progress: sizeBytes === 0 ? 100 : (100 * loaded) / sizeBytes,
		});
	};
}
