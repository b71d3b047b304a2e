import { SourceError } from "../errors.ts";
import { blobSource } from "../sources/blob.ts";
import type { HubCache, HubEntry, PartialFile } from "../sources/cache.ts";
import { isCommit } from "../sources/hub-api.ts";
import { parseTree, treeText } from "../sources/hub-tree.ts";
import { sha1, sha256 } from "../sources/sha.ts";
import type { ByteSource } from "../sources/source.ts";
import { openStorage, type Storage } from "./web-storage.ts";

/** What an interrupted download loses at most, and what writing keeps in memory. */
const PART_BYTES = 16 * 2 ** 20;

/** The cache in the storage of a page's origin; undefined where the page has none. */
export async function webCache(): Promise<HubCache | undefined> {
	const storage = await openStorage();
	return storage && storageCache(storage);
}

/**
 * Files in numbered parts, because neither of the web's storages can both append and survive a crash:
 *
 *     models--owner--name/blobs/<etag>/<n>        16 MiB each, the last may have less
 *     models--owner--name/blobs/<etag>/size       of a file that was complete and intact
 *     models--owner--name/refs/<branch>           its commit
 *     models--owner--name/trees/<commit>.json     all files of the commit
 */
export function storageCache(
	storage: Storage,
	partBytes = PART_BYTES,
): HubCache {
	const at = (repo: string, folder: string, name: string) =>
		`models--${repo.replace("/", "--")}/${folder}/${name}`;
	const blobOf = ({ repo, file: { etag } }: HubEntry) =>
		at(repo, "blobs", `${etag}`);
	const tell = (name: string, text: string) =>
		writing(storage, () => storage.write(name, new TextEncoder().encode(text)));
	const textOf = async (name: string) => (await storage.read(name))?.text();

	return {
		async readRef(repo, revision) {
			const commit = await textOf(at(repo, "refs", revision));
			return commit !== undefined && isCommit(commit) ? commit : undefined;
		},
		writeRef: (repo, revision, commit) =>
			tell(at(repo, "refs", revision), commit),
		async readFiles(repo, commit) {
			const files = parseTree(
				await textOf(at(repo, "trees", `${commit}.json`)),
			);
			return files && { files, complete: true };
		},
		writeFiles: (repo, commit, files) =>
			tell(at(repo, "trees", `${commit}.json`), treeText(files)),

		async find(entry) {
			const blob = blobOf(entry);
			const size = await textOf(`${blob}/size`);
			if (size === undefined) return undefined;
			const parts = await readParts(storage, blob);
			return partsSource(parts, entry.file.path, partBytes);
		},
		// It has a size only since it was.
		isVerified: async () => true,
		markVerified: async () => {},
		remove: (entry) => writing(storage, () => storage.remove(blobOf(entry))),
		lock: (entry, signal) => lockName(`nibble-lm ${blobOf(entry)}`, signal),
		openPartial: (entry) =>
			openPartial(storage, blobOf(entry), entry.file.path, partBytes),
		hasher: (algorithm) => (algorithm === "sha1" ? sha1() : sha256()),
	};
}

async function openPartial(
	storage: Storage,
	blob: string,
	path: string,
	partBytes: number,
): Promise<PartialFile> {
	const parts = await readParts(storage, blob);
	const full = parts.findIndex((part) => part.size !== partBytes);
	const kept = full === -1 ? parts : parts.slice(0, full);
	const keptBytes = kept.length * partBytes;
	const { read } = partsSource(kept, path, partBytes);
	const part = new Uint8Array(partBytes);
	let number = kept.length;
	let filled = 0;
	const flush = async () => {
		const bytes = part.subarray(0, filled);
		await writing(storage, () => storage.write(`${blob}/${number}`, bytes));
		number++;
		filled = 0;
	};
	return {
		get sizeBytes() {
			return number * partBytes + filled;
		},
		read: (offset, length) => {
			if (offset + length > keptBytes)
				throw new SourceError(`${path}: only ${keptBytes} bytes are kept`);
			return read(offset, length);
		},
		async write(bytes) {
			for (let at = 0; at < bytes.length; ) {
				const piece = bytes.subarray(at, at + partBytes - filled);
				part.set(piece, filled);
				filled += piece.length;
				at += piece.length;
				if (filled === partBytes) await flush();
			}
		},
		async publish() {
			const size = number * partBytes + filled;
			if (filled > 0) await flush();
			// What a longer, damaged file may have left.
			await writing(storage, () => storage.remove(`${blob}/${number}`));
			const text = new TextEncoder().encode(`${size}`);
			await writing(storage, () => storage.write(`${blob}/size`, text));
		},
		discard: () => writing(storage, () => storage.remove(blob)),
		close: async () => {},
	};
}

async function readParts(storage: Storage, blob: string): Promise<Blob[]> {
	const parts: Blob[] = [];
	for (;;) {
		const part = await storage.read(`${blob}/${parts.length}`);
		if (!part) return parts;
		parts.push(part);
	}
}

/** Parts of `partBytes` each, the last may have less, as one source. */
function partsSource(
	parts: readonly Blob[],
	name: string,
	partBytes: number,
): ByteSource {
	const size = parts.reduce((sum, part) => sum + part.size, 0);
	const even = parts.slice(0, -1).every((part) => part.size === partBytes);
	const sources = even ? parts.map((part) => blobSource(part, name)) : [];
	return {
		name,
		// A damaged file has no size that fits.
		size: even ? size : -1,
		async read(offset, length, into = new Uint8Array(length)) {
			for (let done = 0; done < length; ) {
				const at = (offset + done) % partBytes;
				const source = sources[Math.floor((offset + done) / partBytes)];
				const count = Math.min(length - done, partBytes - at);
				if (!source)
					throw new SourceError(
						`${name}: ${length} bytes at ${offset} were asked for, the file has ${size}`,
					);
				await source.read(at, count, into.subarray(done, done + count));
				done += count;
			}
			return into.subarray(0, length);
		},
	};
}

/** Held until the returned function is called or the tab ends. Without locks two tabs write the same twice, which does no harm. */
function lockName(
	name: string,
	signal: AbortSignal | undefined,
): Promise<() => Promise<void>> {
	const { locks } = globalThis.navigator ?? {};
	if (!locks) return Promise.resolve(async () => {});
	return new Promise((resolve, reject) => {
		const hold = () =>
			new Promise<void>((release) => resolve(async () => release()));
		const held = signal
			? locks.request(name, { signal }, hold)
			: locks.request(name, hold);
		held.catch(reject);
	});
}

async function writing(
	storage: Storage,
	work: () => Promise<void>,
): Promise<void> {
	try {
		await work();
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new SourceError(
			`${storage.name} cannot be written: ${why}; make space, or load with \`hub: { cache: false }\``,
			{ cause },
		);
	}
}
