import { type Bits, halfField, packedType, packing, range } from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";

/** Bits 0-1 of four columns share a byte; bit g of byte c is bit 2 of column 32g + c. */
const storedCode = (c: number): Bits => [
	[32 + 32 * (c >> 7) + (c % 32), 2 * ((c >> 5) & 3), 2],
	[c % 32, c >> 5, 1],
];

/** Three vectors for 32 columns of four rows: two codes to a byte, and the last eight columns above them. */
const packedCode = (c: number, r: number): Bits => {
	const at = 224 + 192 * (c >> 5) + 48 * (r >> 2) + 4 * (r & 3) + (c & 3);
	const four = (c & 31) >> 2;
	if (four < 6) return [[at + 16 * (four >> 1), 3 * (four & 1), 3]];
	return [
		[at + 16 * (four - 6), 6, 2],
		[at + 32, four, 1],
	];
};

const q3kw = packedType(
	"Q3_K",
	[2e-3],
	[
		halfField(108, 0),
		...range(12).map((i) => ({
			stored: [[96 + i, 0, 8]] as Bits,
			packed: (r: number): Bits => [[32 + 16 * i + r, 0, 8]],
		})),
		...range(256).map((c) => ({
			stored: storedCode(c),
			packed: (r: number) => packedCode(c, r),
		})),
	],
);

export const gemm_qk8_q3kw = quantizedGemm(qk8, q3kw, [
	[256, 0],
	[768, 0],
]);
export const embed_q3kw = quantizedEmbed(q3kw, 512);
export const pack_q3kw_q3_k = packing(q3kw, [
	[37, 256],
	[32, 512],
]);
