import {
	type ByteKind,
	byteLayout,
	packingScaled,
	scaleTypes,
} from "./bytes.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { plain, qd8 } from "./quantize.ts";

const int8: ByteKind = {
	hasSums: true,
	kept: (stored) => stored ^ 128,
	value: (kept) => kept - 128,
	random: (o) => o.integer(0, 255),
	scale: 0.002,
};

const layout = byteLayout(int8);
const sizes = [
	[64, 32],
	[192, 64],
	[384, 128],
	[1120, 160],
] as const;

export const gemm_f32_qb8w_f32 = quantizedGemm(plain, layout, sizes);
export const gemm_qd8_qb8w_f32 = quantizedGemm(qd8, layout, sizes);
export const embed_qb8w_f32 = quantizedEmbed(layout, 192, 64);

const packed = [
	[37, 64, 32],
	[32, 256, 128],
	[16, 96, 96],
] as const;

export const pack_qb8w_f32_i8_f32 = packingScaled(int8, scaleTypes.f32, packed);
export const pack_qb8w_f32_i8_f16 = packingScaled(int8, scaleTypes.f16, packed);
export const pack_qb8w_f32_i8_bf16 = packingScaled(
	int8,
	scaleTypes.bf16,
	packed,
);
