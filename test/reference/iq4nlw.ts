import {
	type Bits,
	type Field,
	halfField,
	nibbleAt,
	packedType,
	packing,
	range,
} from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qb8 } from "./quantize.ts";

/** 32 codes behind a scale of `bytes` bytes per row. */
const codes = (bytes: number): Field[] =>
	range(32).map((c) => ({
		stored: [[bytes + (c % 16), c < 16 ? 0 : 4, 4]] as Bits,
		packed: (r: number): Bits => [[...nibbleAt(16 * bytes, r, c), 4]],
	}));

const iq4nlw = packedType("IQ4_NL", [1e-3], [halfField(0, 0), ...codes(2)]);
const mxfp4w = packedType(
	"MXFP4",
	[],
	[{ stored: [[0, 0, 8]], packed: (r) => [[r, 0, 8]] }, ...codes(1)],
);

const sizes = [
	[32, 0],
	[160, 0],
	[1120, 0],
] as const;
const stored = [
	[37, 64],
	[32, 96],
] as const;

export const gemm_qb8_iq4nlw = quantizedGemm(qb8, iq4nlw, sizes);
export const gemm_qb8_mxfp4w = quantizedGemm(qb8, mxfp4w, sizes);
export const embed_iq4nlw = quantizedEmbed(iq4nlw, 96);
export const embed_mxfp4w = quantizedEmbed(mxfp4w, 96);
export const pack_iq4nlw_iq4_nl = packing(iq4nlw, stored);
export const pack_mxfp4w_mxfp4 = packing(mxfp4w, stored);
