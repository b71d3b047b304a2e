import { open } from "node:fs/promises";

/** A file that is written from front to back, most of it with bytes that repeat. */
export interface ModelWriter {
	write(bytes: Uint8Array): Promise<void>;
	/** `length` bytes: `pattern` over and over again, the last time as much of it as there is room for. */
	repeat(pattern: Uint8Array, length: number): Promise<void>;
}

/** Bytes that are written at once, about: as much as fits into a cache. */
const CHUNK_BYTES = 2 ** 20;

/** Makes a file of what `fill` writes. */
export async function writeModelFile(
	path: string,
	fill: (file: ModelWriter) => Promise<void>,
): Promise<void> {
	const file = await open(path, "w");
	const write = (bytes: Uint8Array) => file.writeFile(bytes);
	try {
		await fill({
			write,
			async repeat(pattern, length) {
				const chunk = repeated(pattern, length);
				for (let left = length; left > 0; left -= chunk.length)
					await write(chunk.subarray(0, left));
			},
		});
	} finally {
		await file.close();
	}
}

/** As many copies of a pattern as make a chunk, and no more than `length` bytes need. */
function repeated(pattern: Uint8Array, length: number): Uint8Array {
	const copies = Math.ceil(Math.min(CHUNK_BYTES, length) / pattern.length);
	const chunk = new Uint8Array(copies * pattern.length);
	for (let i = 0; i < copies; i++) chunk.set(pattern, i * pattern.length);
	return chunk;
}
