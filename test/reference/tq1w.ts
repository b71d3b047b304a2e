import { type Bits, halfField, packedType, packing, range } from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";

const tq1w = packedType(
	"TQ1_0",
	[0.1],
	[
		halfField(52, 0),
		...range(52).map((i) => ({
			stored: [[i, 0, 8]] as Bits,
			packed: (r: number): Bits => [
				[32 + 64 * (i >> 2) + 4 * r + (i & 3), 0, 8],
			],
		})),
	],
);

export const gemm_qk8_tq1w = quantizedGemm(qk8, tq1w, [
	[256, 0],
	[768, 0],
]);
export const embed_tq1w = quantizedEmbed(tq1w, 512);
export const pack_tq1w_tq1_0 = packing(tq1w, [
	[37, 256],
	[32, 512],
]);
