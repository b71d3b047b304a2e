import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { SourceError } from "../errors.ts";
import type { ByteSource, Repository } from "../sources/source.ts";

/** Longest read that is asked of the system at once; some file systems return less than asked beyond 2 GiB. */
const LONGEST_READ_BYTES = 1 << 30;

/** A file or folder of the local file system; undefined where there is none. */
export async function openPath(
	path: string,
): Promise<ByteSource | Repository | undefined> {
	const found = await stat(path).catch(missing);
	if (found === undefined) return undefined;
	return found.isDirectory() ? folder(path) : openFile(path);
}

/** The file is opened on the first read and stays open until `close`. */
export async function openFile(path: string): Promise<ByteSource> {
	const { size } = await stat(path);
	let opening: Promise<FileHandle> | undefined;
	return {
		name: path,
		size,
		async read(offset, length, into = new Uint8Array(length)) {
			if (offset < 0 || length < 0 || offset + length > size)
				throw new SourceError(
					`${path}: ${length} bytes at ${offset} were asked for, the file has ${size}`,
				);
			opening ??= open(path);
			const handle = await opening;
			let done = 0;
			while (done < length) {
				const wanted = Math.min(length - done, LONGEST_READ_BYTES);
				const { bytesRead } = await handle.read(
					into,
					done,
					wanted,
					offset + done,
				);
				if (bytesRead === 0)
					throw new SourceError(
						`${path}: ended at byte ${offset + done}, expected ${size} bytes`,
					);
				done += bytesRead;
			}
			return into.subarray(0, length);
		},
		async close() {
			const handle = await opening;
			opening = undefined;
			await handle?.close();
		},
	};
}

function folder(path: string): Repository {
	return {
		name: path,
		async list(inside = "") {
			const entries = await readdir(join(path, inside), {
				recursive: true,
				withFileTypes: true,
			}).catch(missing);
			return (entries ?? [])
				.filter((entry) => !entry.isDirectory())
				.map((entry) =>
					relative(path, join(entry.parentPath, entry.name))
						.split(sep)
						.join("/"),
				);
		},
		async open(file) {
			const inside = join(path, file);
			const found = await stat(inside).catch(missing);
			return found?.isFile() ? openFile(inside) : undefined;
		},
	};
}

function missing(error: NodeJS.ErrnoException): undefined {
	if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
	throw new SourceError(error.message, { cause: error });
}
