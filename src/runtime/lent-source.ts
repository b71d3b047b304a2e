import {
	blobsRepository,
	type NamedBlobs,
	nameFiles,
} from "../sources/blob.ts";
import type { Source } from "../sources/open.ts";
import type { ByteSource, Repository } from "../sources/source.ts";

/** An open file on the other side of a channel. */
interface LentFile {
	readonly number: number;
	readonly name: string;
	readonly size: number;
}

/** An object that reads bytes or opens files itself, as functions that can be called from another thread. */
export interface LentSource {
	readonly name: string;
	/** The source itself, where it is a file. */
	readonly file: LentFile | undefined;
	list(folder?: string): Promise<readonly string[] | undefined>;
	open(path: string): Promise<LentFile | undefined>;
	read(number: number, offset: number, length: number): Promise<Uint8Array>;
	close(number: number): Promise<void>;
}

/** What of a source can be posted to another thread as it is, and the rest as functions. */
export type PostedSource =
	| { readonly source: Source | undefined }
	| { readonly blobs: NamedBlobs }
	| { readonly lent: LentSource };

export function postSource(source: Source | undefined): PostedSource {
	if (typeof source !== "object" || source === null) return { source };
	if ("open" in source || "read" in source) return { lent: lend(source) };
	if ("length" in source && !ArrayBuffer.isView(source))
		return { blobs: nameFiles(source) };
	return { source };
}

function lend(source: ByteSource | Repository): LentSource {
	const opened: ByteSource[] = [];
	const add = (file: ByteSource): LentFile => ({
		number: opened.push(file) - 1,
		name: file.name,
		size: file.size,
	});
	const repository = "open" in source ? source : undefined;
	return {
		name: source.name,
		file: "open" in source ? undefined : add(source),
		list: async (folder) => repository?.list?.(folder),
		async open(path) {
			const file = await repository?.open(path);
			return file && add(file);
		},
		// Into a buffer of its own, which can be given away.
		read: (number, offset, length) =>
			opened[number]!.read(offset, length, new Uint8Array(length)),
		close: async (number) => opened[number]!.close?.(),
	};
}

/** The other side of `postSource`. */
export function receiveSource(posted: PostedSource): Source | undefined {
	if ("source" in posted) return posted.source;
	if ("blobs" in posted) return blobsRepository(posted.blobs);
	const { lent } = posted;
	const file = ({ number, name, size }: LentFile): ByteSource => ({
		name,
		size,
		async read(offset, length, into) {
			const bytes = await lent.read(number, offset, length);
			if (into === undefined) return bytes;
			into.set(bytes);
			return into.subarray(0, length);
		},
		close: () => lent.close(number),
	});
	if (lent.file) return file(lent.file);
	return {
		name: lent.name,
		list: (folder) => lent.list(folder),
		async open(path) {
			const found = await lent.open(path);
			return found && file(found);
		},
	};
}
