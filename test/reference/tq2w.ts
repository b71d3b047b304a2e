import { halfField, packedType, packing } from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";
import { twoBitFields } from "./two-bits.ts";

const tq2w = packedType(
	"TQ2_0",
	[0.1],
	[halfField(64, 0), ...twoBitFields(0, 32)],
);

export const gemm_qk8_tq2w = quantizedGemm(qk8, tq2w, [
	[256, 0],
	[768, 0],
]);
export const embed_tq2w = quantizedEmbed(tq2w, 512);
export const pack_tq2w_tq2_0 = packing(tq2w, [
	[37, 256],
	[32, 512],
]);
