import { checkRange } from "./range.ts";
import type { ByteSource } from "./source.ts";

/** Headers of checkpoints have less: the longest, of GGUF files, hold vocabularies of 10 MB. */
export const GLANCE_BYTES = 16 * 2 ** 20;

/**
 * A file that is read from afar as long as little is read of it, and fetched when it is read in earnest: a model that
 * cannot run is found out by its header, before gigabytes have come.
 */
export function lateSource(
	{ name, size }: Pick<ByteSource, "name" | "size">,
	far: () => Promise<ByteSource>,
	near: () => Promise<ByteSource>,
): ByteSource {
	let glancedBytes = 0;
	let opening: Promise<ByteSource> | undefined;
	let fetching: Promise<ByteSource> | undefined;
	return {
		name,
		size,
		async read(offset, length, into) {
			checkRange({ name, size }, offset, length, into);
			glancedBytes += length;
			if (glancedBytes > GLANCE_BYTES) fetching ??= near();
			else opening ??= far();
			const source = await (fetching ?? opening);
			return source!.read(offset, length, into);
		},
		async close() {
			const source = await fetching?.catch(() => undefined);
			fetching = undefined;
			await source?.close?.();
		},
	};
}
