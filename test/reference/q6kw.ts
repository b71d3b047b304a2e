import { type Bits, halfField, packedType, packing, range } from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";

/** Low nibbles of columns l and l + 64 of a half block share a byte; 2 high bits of four columns do. */
const storedCode = (c: number): Bits => {
	const [half, quarter, l] = [c >> 7, (c >> 5) & 3, c & 31];
	return [
		[64 * half + 32 * (quarter & 1) + l, quarter < 2 ? 0 : 4, 4],
		[128 + 32 * half + l, 2 * quarter, 2],
	];
};

/** Three vectors hold columns 0-11 of a group of 16; above them, two bits each, columns 12-15. */
const packedCode = (c: number, r: number): Bits => {
	const group = 288 + 192 * (c >> 4) + 48 * (r >> 2) + 4 * (r & 3) + (c & 3);
	const four = (c & 15) >> 2;
	if (four < 3) return [[group + 16 * four, 0, 6]];
	return [
		[group + 32, 6, 2],
		[group + 16, 6, 2],
		[group, 6, 2],
	];
};

const q6kw = packedType(
	"Q6_K",
	[7e-5],
	[
		halfField(208, 0),
		...range(16).map((g) => ({
			stored: [[192 + g, 0, 8]] as Bits,
			packed: (r: number): Bits => [[32 + 16 * g + r, 0, 8]],
		})),
		...range(256).map((c) => ({
			stored: storedCode(c),
			packed: (r: number) => packedCode(c, r),
		})),
	],
);

export const gemm_qk8_q6kw = quantizedGemm(qk8, q6kw, [
	[256, 0],
	[768, 0],
]);
export const embed_q6kw = quantizedEmbed(q6kw, 512);
export const pack_q6kw_q6_k = packing(q6kw, [
	[37, 256],
	[32, 512],
]);
