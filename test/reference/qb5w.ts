import {
	type Bits,
	halfField,
	nibbleAt,
	type PackedType,
	packedType,
	packing,
	range,
} from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qb8 } from "./quantize.ts";

/** Byte b of a row's four has, from bit 0 on, bits 4 of columns b, 4 + b, 8 + b, … */
const highAt = (plane: number, r: number, c: number): Bits => [
	[plane + 4 * r + (c % 4), c >> 2, 1],
];

/** A type of `scales` f16 per block, and 32 codes of which bit 4, if any, is in a plane of its own. */
function type(
	name: string,
	deviations: readonly [number] | readonly [number, number],
	five: boolean,
): PackedType {
	const scales = deviations.length;
	const high = { stored: 2 * scales, packed: 32 * scales };
	const low = {
		stored: high.stored + (five ? 4 : 0),
		packed: high.packed + (five ? 64 : 0),
	};
	return packedType(name, deviations, [
		...range(scales).map((i) => halfField(2 * i, 32 * i)),
		...range(32).map((c) => ({
			stored: [[low.stored + (c % 16), c < 16 ? 0 : 4, 4]] as Bits,
			packed: (r: number): Bits => [[...nibbleAt(low.packed, r, c), 4]],
		})),
		...range(five ? 32 : 0).map((c) => ({
			stored: [[high.stored + (c >> 3), c & 7, 1]] as Bits,
			packed: (r: number) => highAt(high.packed, r, c),
		})),
	]);
}

const qb5w = type("Q5_0", [0.01], true);
const q4_1w = type("Q4_1", [0.02, 0.2], false);
const q5_1w = type("Q5_1", [0.01, 0.2], true);

const sizes = [
	[32, 0],
	[160, 0],
	[1120, 0],
] as const;
const stored = [
	[37, 64],
	[32, 96],
] as const;

export const gemm_qb8_qb5w = quantizedGemm(qb8, qb5w, sizes);
export const gemm_qb8_q4_1w = quantizedGemm(qb8, q4_1w, sizes);
export const gemm_qb8_q5_1w = quantizedGemm(qb8, q5_1w, sizes);
export const embed_qb5w = quantizedEmbed(qb5w, 96);
export const embed_q4_1w = quantizedEmbed(q4_1w, 96);
export const embed_q5_1w = quantizedEmbed(q5_1w, 96);
export const pack_qb5w_q5_0 = packing(qb5w, stored);
export const pack_q4_1w_q4_1 = packing(q4_1w, stored);
export const pack_q5_1w_q5_1 = packing(q5_1w, stored);
