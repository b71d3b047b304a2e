import { fiveBits } from "./five-bits.ts";
import { type Bits, halfField, packedType, packing, range } from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";
import { sixBitFields } from "./six-bits.ts";

/** 32 bytes for two groups of 32 columns, those of the first in low nibbles; bit g of byte c is that of group g. */
const storedCode = (c: number): Bits => [
	[48 + 32 * Math.floor(c / 64) + (c % 32), c & 32 ? 4 : 0, 4],
	[16 + (c % 32), c >> 5, 1],
];

const q5kw = packedType(
	"Q5_K",
	[2e-4, 3e-3],
	[
		halfField(0, 0),
		halfField(2, 32),
		...sixBitFields,
		...range(256).map((c) => ({
			stored: storedCode(c),
			packed: (r: number) => fiveBits(256 + 320 * (c >> 5), r, c % 32),
		})),
	],
);

export const gemm_qk8_q5kw = quantizedGemm(qk8, q5kw, [
	[256, 0],
	[768, 0],
]);
export const embed_q5kw = quantizedEmbed(q5kw, 512);
export const pack_q5kw_q5_k = packing(q5kw, [
	[37, 256],
	[32, 512],
]);
