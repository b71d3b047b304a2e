import { createHash, randomUUID } from "node:crypto";
import {
	copyFile,
	link,
	mkdir,
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
import { type HubCache, type HubEntry, note } from "../sources/cache.ts";
import { type HubFile, isCommit, isEtag } from "../sources/hub-api.ts";
import { parseTree, treeText } from "../sources/hub-tree.ts";
import type { Hasher } from "../sources/sha.ts";
import { lockFile } from "./file-lock.ts";
import { openFile } from "./files.ts";
import { openPartial, writing } from "./hub-partial.ts";

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
	const blobOf = ({ repo, file: { etag, path } }: HubEntry) => {
		if (etag !== undefined) return at(repo, "blobs", etag);
		throw new SourceError(`${repo}: the hash of ${path} is not known`);
	};
	const markerOf = ({ repo, file: { etag = "" } }: HubEntry) =>
		at(repo, ".verified", etag);
	const pathOf = async (entry: HubEntry) => {
		const snapshot = snapshotOf(entry);
		if (entry.file.etag === undefined || (await isFile(snapshot)))
			return snapshot;
		return blobOf(entry);
	};

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
			let path = await pathOf(entry);
			if (!(await isFile(path))) return undefined;
			const snapshot = snapshotOf(entry);
			if (path !== snapshot) {
				// Another commit's file; where the cache may only be read it has to do as it is.
				await note(point(snapshot, path));
				path = await pathOf(entry);
			}
			return openFile(path);
		},
		async isVerified(entry) {
			const marker = await readText(markerOf(entry));
			return (
				marker !== undefined && marker === (await stateOf(await pathOf(entry)))
			);
		},
		async markVerified(entry) {
			await replace(markerOf(entry), await stateOf(await pathOf(entry)));
		},
		async remove(entry) {
			const paths = [snapshotOf(entry)];
			if (entry.file.etag !== undefined)
				paths.push(blobOf(entry), markerOf(entry));
			for (const path of paths)
				await writing(path, () => rm(path, { force: true }));
		},
		lock({ repo, file: { etag } }, signal) {
			const path = join(folder, ".locks", place(repo), `${etag}.nibble.lock`);
			return writing(path, async () => {
				await mkdir(dirname(path), { recursive: true });
				return lockFile(path, signal);
			});
		},
		openPartial(entry) {
			const blob = blobOf(entry);
			const path = `${blob}.nibble.incomplete`;
			return openPartial(path, async () => {
				await rename(path, blob).catch(async (error) => {
					// Two may have written it, and one have been first.
					if (!(await isFile(blob))) throw error;
				});
				await point(snapshotOf(entry), blob);
			});
		},
		hasher: nodeHasher,
	};
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

function nodeHasher(algorithm: "sha1" | "sha256"): Hasher {
	const hash = createHash(algorithm);
	return {
		update: (bytes) => void hash.update(bytes),
		digest: () => hash.digest("hex"),
	};
}
