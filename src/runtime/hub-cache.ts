import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import {
	copyFile,
	type FileHandle,
	link,
	mkdir,
	open,
	readdir,
	readFile,
	readlink,
	rename,
	rm,
	stat,
	symlink,
	writeFile,
} from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { SourceError } from "../errors.ts";
import type { HubCache, HubEntry, PartialFile } from "../sources/cache.ts";
import {
	type HubFile,
	isCommit,
	isEtag,
	isRecord,
	isSize,
	staysInside,
} from "../sources/hub-api.ts";
import type { Hasher } from "../sources/sha.ts";
import { lockFile } from "./file-lock.ts";
import { openFile } from "./files.ts";

const TREE_VERSION = 1;

/**
 * The cache in a folder of the file system, laid out as by Python's huggingface_hub, which finds here what it fetched,
 * and we what it did:
 *
 *     models--owner--name/blobs/<etag>                   contents, named by their hash
 *     models--owner--name/snapshots/<commit>/<path>      link to the blob, or a copy
 *     models--owner--name/refs/<branch>                  its commit
 *     models--owner--name/trees/<commit>.json            all files of the commit
 *     models--owner--name/.verified/<etag>               ours: size and time of a blob that was intact
 *     .locks/models--owner--name/<etag>.nibble.lock      ours: Python's locks cannot be held from JavaScript
 *
 * A blob appears by renaming a finished file, in Python too, so neither sees the other's unfinished ones.
 */
export function hubCache(folder: string): HubCache {
	const place = (repo: string) => `models--${repo.replace("/", "--")}`;
	const at = (repo: string, ...steps: string[]) =>
		join(folder, place(repo), ...steps);
	const snapshotOf = ({ repo, commit, file }: HubEntry) =>
		at(repo, "snapshots", commit, ...file.path.split("/"));
	const blobOf = ({ repo, file: { etag } }: HubEntry) =>
		etag === undefined ? undefined : at(repo, "blobs", etag);
	const markerOf = ({ repo, file: { etag = "" } }: HubEntry) =>
		at(repo, ".verified", etag);

	return {
		async readRef(repo, revision) {
			const commit = (await readText(at(repo, "refs", revision)))?.trim();
			return commit !== undefined && isCommit(commit) ? commit : undefined;
		},
		async writeRef(repo, revision, commit) {
			const path = at(repo, "refs", revision);
			if ((await readText(path)) !== commit) await replace(path, commit);
		},

		async readFiles(repo, commit) {
			const tree = parseTree(
				await readText(at(repo, "trees", `${commit}.json`)),
			);
			if (tree) return { files: tree, complete: true };
			const files = await listSnapshot(at(repo, "snapshots", commit));
			return files && { files, complete: false };
		},
		async writeFiles(repo, commit, files) {
			await replace(at(repo, "trees", `${commit}.json`), treeText(files));
		},

		async find(entry) {
			const snapshot = snapshotOf(entry);
			if (await isFile(snapshot)) return openFile(snapshot);
			const blob = blobOf(entry);
			if (blob === undefined || !(await isFile(blob))) return undefined;
			await writing(blob, () => point(snapshot, blob));
			return openFile(snapshot);
		},
		async isVerified(entry) {
			const marker = await readText(markerOf(entry));
			return (
				marker !== undefined && marker === (await stateOf(snapshotOf(entry)))
			);
		},
		async markVerified(entry) {
			await replace(markerOf(entry), await stateOf(snapshotOf(entry)));
		},
		async remove(entry) {
			for (const path of [snapshotOf(entry), blobOf(entry), markerOf(entry)])
				if (path !== undefined)
					await writing(path, () => rm(path, { force: true }));
		},
		lock({ repo, file: { etag } }, signal) {
			const path = join(folder, ".locks", place(repo), `${etag}.nibble.lock`);
			return writing(path, async () => {
				await mkdir(dirname(path), { recursive: true });
				return lockFile(path, signal);
			});
		},
		async openPartial(entry) {
			const blob = blobOf(entry);
			if (blob === undefined)
				throw new SourceError(`${entry.file.path}: its hash is not known`);
			return openPartial(blob, snapshotOf(entry));
		},
		hasher: nodeHasher,
	};
}

/** Written at positions, never cut: should two ever write one file, they write the same. */
async function openPartial(
	blob: string,
	snapshot: string,
): Promise<PartialFile> {
	const path = `${blob}.nibble.incomplete`;
	const handle = await writing(path, async () => {
		await mkdir(dirname(path), { recursive: true });
		return open(path, constants.O_RDWR | constants.O_CREAT);
	});
	let sizeBytes = (await handle.stat()).size;
	return {
		get sizeBytes() {
			return sizeBytes;
		},
		read: (offset, length) => readFully(handle, offset, length),
		async write(bytes) {
			await writing(path, () => writeFully(handle, sizeBytes, bytes));
			sizeBytes += bytes.length;
		},
		async publish() {
			await writing(path, async () => {
				// A power cut must not leave a name without its contents.
				await handle.datasync().finally(() => handle.close());
				await rename(path, blob).catch(async (error) => {
					if (!(await isFile(blob))) throw error;
				});
				await point(snapshot, blob);
			});
		},
		async discard() {
			await handle.close();
			await writing(path, () => rm(path, { force: true }));
		},
		close: () => handle.close(),
	};
}

async function readFully(
	handle: FileHandle,
	offset: number,
	length: number,
): Promise<Uint8Array> {
	const bytes = new Uint8Array(length);
	for (let done = 0; done < length; ) {
		const { bytesRead } = await handle.read(
			bytes,
			done,
			length - done,
			offset + done,
		);
		if (bytesRead === 0)
			throw new SourceError("an unfinished file in the cache became shorter");
		done += bytesRead;
	}
	return bytes;
}

async function writeFully(
	handle: FileHandle,
	offset: number,
	bytes: Uint8Array,
): Promise<void> {
	for (let done = 0; done < bytes.length; ) {
		const { bytesWritten } = await handle.write(
			bytes,
			done,
			bytes.length - done,
			offset + done,
		);
		done += bytesWritten;
	}
}

/** Makes `snapshot` stand for the blob: by a relative link, so that the cache can be moved, or where none may be made by a copy. */
async function point(snapshot: string, blob: string): Promise<void> {
	await mkdir(dirname(snapshot), { recursive: true });
	const made = `${snapshot}.${randomUUID().slice(0, 8)}.tmp`;
	try {
		await symlink(relative(dirname(snapshot), blob), made);
	} catch {
		await link(blob, made).catch(() => copyFile(blob, made));
	}
	await rename(made, snapshot);
}

/** What is in a snapshot's folder. A link says by the name of its blob what the contents hash to. */
async function listSnapshot(
	folder: string,
): Promise<readonly HubFile[] | undefined> {
	const entries = await readdir(folder, {
		recursive: true,
		withFileTypes: true,
	}).catch(() => undefined);
	if (!entries) return undefined;
	const files: HubFile[] = [];
	for (const entry of entries) {
		const path = join(entry.parentPath, entry.name);
		const found = await stat(path).catch(() => undefined);
		if (!found?.isFile()) continue;
		const target = entry.isSymbolicLink() ? basename(await readlink(path)) : "";
		files.push({
			path: relative(folder, path).split(sep).join("/"),
			sizeBytes: found.size,
			etag: isEtag(target) ? target : undefined,
		});
	}
	return files;
}

interface Tree {
	readonly format_version: number;
	readonly files: Readonly<Record<string, TreeFile>>;
}
interface TreeFile {
	readonly size: number;
	readonly blob_id: string;
	readonly lfs_sha256?: string;
	readonly lfs_size?: number;
	readonly xet_hash?: string;
}

function treeText(files: readonly HubFile[]): string {
	const entries = files.map(
		({ path, sizeBytes, etag, blobId = "", xetHash }): [string, TreeFile] => [
			path,
			{
				size: sizeBytes,
				blob_id: blobId,
				...(etag !== undefined &&
					etag !== blobId && { lfs_sha256: etag, lfs_size: sizeBytes }),
				...(xetHash !== undefined && { xet_hash: xetHash }),
			},
		],
	);
	const tree: Tree = {
		format_version: TREE_VERSION,
		files: Object.fromEntries(entries),
	};
	return JSON.stringify(tree, undefined, 1);
}

/** undefined for what is damaged or of another version: the Hub knows too. */
function parseTree(text: string | undefined): readonly HubFile[] | undefined {
	if (text === undefined) return undefined;
	let tree: unknown;
	try {
		tree = JSON.parse(text);
	} catch {
		return undefined;
	}
	if (
		!isRecord(tree) ||
		tree.format_version !== TREE_VERSION ||
		!isRecord(tree.files)
	)
		return undefined;
	const files: HubFile[] = [];
	for (const [path, file] of Object.entries(tree.files)) {
		if (!isRecord(file)) return undefined;
		const { blob_id, lfs_sha256 } = file;
		const etag = lfs_sha256 ?? blob_id;
		const sizeBytes = file.lfs_size ?? file.size;
		if (!staysInside(path) || !isEtag(etag) || !isSize(sizeBytes))
			return undefined;
		files.push({ path, sizeBytes, etag });
	}
	return files;
}

/** Size and time of what a path leads to. */
async function stateOf(path: string): Promise<string> {
	const { size, mtimeMs } = await stat(path);
	return `${size} ${mtimeMs}`;
}

/** Writes a small file so that readers see all of it or what was there before. */
async function replace(path: string, text: string): Promise<void> {
	await mkdir(dirname(path), { recursive: true });
	const made = `${path}.${randomUUID().slice(0, 8)}.tmp`;
	await writeFile(made, text);
	await rename(made, path);
}

const readText = (path: string): Promise<string | undefined> =>
	readFile(path, "utf8").catch(() => undefined);

const isFile = (path: string): Promise<boolean> =>
	stat(path).then(
		(found) => found.isFile(),
		() => false,
	);

/** Turns an error of the file system into one that says what to do. */
async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (cause) {
		if (!(cause instanceof Error) || !("syscall" in cause)) throw cause;
		const { code } = cause as NodeJS.ErrnoException;
		const hint =
			code === "ENOSPC" ? "make space" : "see who may write to that folder";
		throw new SourceError(
			`the cache cannot be written: ${path}: ${cause.message}; ${hint}, set HF_HUB_CACHE to another folder, or load with \`cache: false\``,
			{ cause },
		);
	}
}

function nodeHasher(algorithm: "sha1" | "sha256"): Hasher {
	const hash = createHash(algorithm);
	return {
		update: (bytes) => void hash.update(bytes),
		digest: () => hash.digest("hex"),
	};
}
