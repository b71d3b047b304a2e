import {
	type Bits,
	halfField,
	nibbleAt,
	packedType,
	packing,
	range,
} from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";
import { sixBitFields } from "./six-bits.ts";

/** 32 bytes for two groups of 32 columns, those of the first in low nibbles. */
const storedCode = (c: number): Bits => [
	[16 + 32 * Math.floor(c / 64) + (c % 32), c & 32 ? 4 : 0, 4],
];

const q4kw = packedType(
	"Q4_K",
	[4e-4, 3e-3],
	[
		halfField(0, 0),
		halfField(2, 32),
		...sixBitFields,
		...range(256).map((c) => ({
			stored: storedCode(c),
			packed: (r: number): Bits => [
				[...nibbleAt(256 + 256 * Math.floor(c / 32), r, c % 32), 4],
			],
		})),
	],
);

export const gemm_qk8_q4kw = quantizedGemm(qk8, q4kw, [
	[256, 0],
	[768, 0],
]);
export const embed_q4kw = quantizedEmbed(q4kw, 512);
export const pack_q4kw_q4_k = packing(q4kw, [
	[37, 256],
	[32, 512],
]);
