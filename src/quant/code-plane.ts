// Integers of 1 to 8 bits, one per byte, as torchao and compressed-tensors store codes that are not packed.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { int8 } from "./affine.ts";
import { tensorPlane } from "./planes.ts";
import type { Plane } from "./scheme.ts";

/**
 * The bytes of a tensor I8 [rows, …] as codes. Its reads reject with CheckpointError where a code does not fit into `bits`:
 * kernels keep only so many, and would compute with another number.
 */
export function codePlane(
	tensor: StoredTensor,
	rows: number,
	bits: number,
): Plane {
	const plane = tensorPlane("codes", tensor, rows);
	if (bits === 8) return plane;
	return {
		...plane,
		async read(lo, hi, into) {
			const bytes = await plane.read(lo, hi, into);
			const at = firstOutside(bytes, bits);
			if (at < 0) return bytes;
			const index = lo * plane.rowBytes + at;
			const [code] = int8(bytes.subarray(at));
			const half = 2 ** (bits - 1);
			throw new CheckpointError(
				`${tensor.file}: element ${index} of ${tensor.name} is ${code}, expected int${bits}, −${half} to ${half - 1}`,
			);
		},
	};
}

/** Words that are looked at before it is asked whether any of their codes does not fit. */
const BLOCK = 4096;

/**
 * Where the first block begins that has a bit under `mask` which is not its left neighbour's, else what is behind the last
 * whole block. Without a question per word this is four times as fast.
 */
function firstBlock(words: Int32Array, mask: number): number {
	let from = 0;
	for (; from + BLOCK <= words.length; from += BLOCK) {
		let found = 0;
		for (let i = from; i < from + BLOCK; i += 4) {
			const a = words[i]!;
			const b = words[i + 1]!;
			const c = words[i + 2]!;
			const d = words[i + 3]!;
			found |=
				(a ^ (a >> 1)) | (b ^ (b >> 1)) | (c ^ (c >> 1)) | (d ^ (d >> 1));
		}
		if ((found & mask) !== 0) break;
	}
	return from;
}

/**
 * Place of the first code that does not fit into `bits`; −1 where all do. Two's complement fits where the code's own sign bit
 * and all bits above it are equal. That is asked of four codes at a time: files have billions of them.
 */
function firstOutside(bytes: Uint8Array, bits: number): number {
	// Bits that are to equal their left neighbours.
	const mask = (128 - 2 ** (bits - 1)) * 0x01010101;
	const isOutside = (code: number) => ((code ^ (code >>> 1)) & mask) !== 0;
	const lead = Math.min(-bytes.byteOffset & 3, bytes.length);
	const count = (bytes.length - lead) >> 2;
	const words = new Int32Array(bytes.buffer, bytes.byteOffset + lead, count);
	let at = bytes.subarray(0, lead).findIndex(isOutside);
	if (at >= 0) return at;
	at = lead + 4 * firstBlock(words, mask);
	const rest = bytes.subarray(at).findIndex(isOutside);
	return rest < 0 ? -1 : at + rest;
}
