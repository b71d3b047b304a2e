import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { SourceError } from "../errors.ts";
import type { PartialFile } from "../sources/cache.ts";

/**
 * A file that grows until `publish` gives it its name. Written at positions and never cut: should two ever write it, they
 * write the same.
 */
export async function openPartial(
	path: string,
	publish: () => Promise<void>,
): Promise<PartialFile> {
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
				await publish();
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

/** Turns an error of the file system into one that says what to do. */
export async function writing<T>(
	path: string,
	work: () => Promise<T>,
): Promise<T> {
	try {
		return await work();
	} catch (cause) {
		if (!(cause instanceof Error) || !("syscall" in cause)) throw cause;
		const { code } = cause as NodeJS.ErrnoException;
		const hint =
			code === "ENOSPC" ? "make space" : "see who may write to that folder";
		throw new SourceError(
			`the cache cannot be written: ${path}: ${cause.message}; ${hint}, set HF_HUB_CACHE to another folder, or load with \`hub: { cache: false }\``,
			{ cause },
		);
	}
}
