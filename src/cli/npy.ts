import { open, rm } from "node:fs/promises";
import { UsageError } from "./arguments.ts";

/** Values in row-major order, piece by piece; every piece says the shape of the whole. */
interface Piece {
	readonly shape: readonly number[];
	readonly values: Float32Array;
}

/** The header ends at a multiple of this, so that values can be mapped into memory. */
const ALIGNMENT = 64;

/**
 * Writes float32 values as a .npy file of version 1.0, one piece at a time. An existing file is replaced when the first
 * piece is there; what an error leaves unfinished is removed.
 * @returns the last piece
 */
export async function saveNpy<P extends Piece>(
	path: string,
	pieces: AsyncIterable<P>,
): Promise<P | undefined> {
	let file: Awaited<ReturnType<typeof open>> | undefined;
	let last: P | undefined;
	try {
		for await (const piece of pieces) {
			if (file === undefined) {
				file = await create(path);
				await file.writeFile(npyHeader(piece.shape));
			}
			const { buffer, byteOffset, byteLength } = piece.values;
			// Goes on where the last write ended.
			await file.writeFile(new Uint8Array(buffer, byteOffset, byteLength));
			last = piece;
		}
	} catch (error) {
		await file?.close();
		if (file) await rm(path, { force: true });
		throw error;
	}
	await file?.close();
	return last;
}

function create(path: string): ReturnType<typeof open> {
	return open(path, "w").catch((error: Error) => {
		throw new UsageError(`--save cannot be written: ${error.message}`);
	});
}

/** Magic, version 1.0, u16 length of what follows, and a Python dictionary filled up with spaces to a newline. */
export function npyHeader(shape: readonly number[]): Uint8Array {
	const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
	const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${sizes}), }`;
	const start = 10;
	const bytes = Math.ceil((start + text.length + 1) / ALIGNMENT) * ALIGNMENT;
	const header = new Uint8Array(bytes);
	header.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
	new DataView(header.buffer).setUint16(8, bytes - start, true);
	header.set(
		new TextEncoder().encode(`${text.padEnd(bytes - start - 1)}\n`),
		start,
	);
	return header;
}
