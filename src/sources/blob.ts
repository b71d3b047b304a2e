import { SourceError } from "../errors.ts";
import { checkRange } from "./range.ts";
import type { ByteSource, Repository } from "./source.ts";

/** Blobs hand out copies only; reading in pieces bounds what exists twice. */
const PIECE_BYTES = 8 * 2 ** 20;

/** A Blob or File as a source. */
export function blobSource(blob: Blob, name = nameOf(blob)): ByteSource {
	const size = blob.size;
	return {
		name,
		size,
		async read(offset, length, into) {
			checkRange({ name, size }, offset, length, into);
			const target = into?.subarray(0, length) ?? new Uint8Array(length);
			for (let at = 0; at < length; at += PIECE_BYTES) {
				const end = Math.min(at + PIECE_BYTES, length);
				target.set(await piece(blob, name, offset + at, offset + end), at);
			}
			return target;
		},
	};
}

/** Files by their paths in a folder, whose name it is. */
export interface NamedBlobs {
	readonly name: string;
	readonly files: ReadonlyMap<string, Blob>;
}

/**
 * Files that a user chose (`<input type="file" multiple>`, or `webkitdirectory`) or dropped.
 * A folder's files are named relative to that folder, others by their own name.
 */
export function nameFiles(
	files: Iterable<File> | ArrayLike<File>,
	name?: string,
): NamedBlobs {
	const byName = new Map<string, File>();
	let folder: string | undefined;
	for (const file of Array.from(files)) {
		const [top, ...rest] = file.webkitRelativePath?.split("/") ?? [];
		if (rest.length > 0) folder ??= top;
		byName.set(rest.length > 0 ? rest.join("/") : file.name, file);
	}
	return { name: name ?? folder ?? "chosen files", files: byName };
}

/** Named blobs as a repository. */
export function blobsRepository({ name, files }: NamedBlobs): Repository {
	return {
		name,
		list: async () => [...files.keys()],
		async open(file) {
			const found = files.get(file);
			return found && blobSource(found, file);
		},
	};
}

/** Files that a user chose or dropped, as a repository. */
export const filesRepository = (
	...chosen: Parameters<typeof nameFiles>
): Repository => blobsRepository(nameFiles(...chosen));

async function piece(
	blob: Blob,
	name: string,
	start: number,
	end: number,
): Promise<Uint8Array> {
	let bytes: Uint8Array;
	try {
		bytes = new Uint8Array(await blob.slice(start, end).arrayBuffer());
	} catch (cause) {
		throw new SourceError(
			`${name}: bytes ${start} to ${end} could not be read (has the file changed?)`,
			{ cause },
		);
	}
	if (bytes.length !== end - start)
		throw new SourceError(
			`${name}: ${bytes.length} bytes came at ${start}, ${end - start} expected`,
		);
	return bytes;
}

function nameOf(blob: Blob): string {
	return "name" in blob && typeof blob.name === "string" ? blob.name : "blob";
}
