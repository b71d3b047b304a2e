import { type Bits, halfField, packedType, packing, range } from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";
import { twoBitFields } from "./two-bits.ts";

const q2kw = packedType(
	"Q2_K",
	[7e-3, 6e-3],
	[
		halfField(80, 0),
		halfField(82, 32),
		...range(16).map((g) => ({
			stored: [[g, 0, 8]] as Bits,
			packed: (r: number): Bits => [[64 + 16 * g + r, 0, 8]],
		})),
		...twoBitFields(16, 320),
	],
);

export const gemm_qk8_q2kw = quantizedGemm(qk8, q2kw, [
	[256, 0],
	[768, 0],
]);
export const embed_q2kw = quantizedEmbed(q2kw, 512);
export const pack_q2kw_q2_k = packing(q2kw, [
	[37, 256],
	[32, 512],
]);
