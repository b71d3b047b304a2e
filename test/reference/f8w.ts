import {
	type ByteKind,
	byteLayout,
	packingPlain,
	packingScaled,
	scaleTypes,
} from "./bytes.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import type { Operands } from "./operands.ts";
import { plain } from "./quantize.ts";

/** Sign, exponent with a bias, `size` bits of fraction; no bits stand for NaN or infinity. */
const float8 = (bias: number, size: number) => (bits: number) => {
	const sign = bits & 128 ? -1 : 1;
	const exponent = (bits & 127) >> size;
	const fraction = (bits & (2 ** size - 1)) / 2 ** size;
	return exponent === 0
		? sign * fraction * 2 ** (1 - bias)
		: sign * (1 + fraction) * 2 ** (exponent - bias);
};

/** Any byte but those that stand for no number, which have all bits of `mask`: some rows are small, some all denormal. */
const finite = (mask: number, size: number) => (o: Operands, row: number) => {
	const most = [127, 8 << size, 2 ** size - 1][row % 3]!;
	let bits = mask;
	while ((bits & mask) === mask) bits = o.integer(0, most);
	return bits + 128 * o.integer(0, 1);
};

const e4m3: ByteKind = {
	hasSums: false,
	kept: (stored) => stored,
	value: float8(7, 3),
	random: finite(0x7f, 3),
	exponents: [-6, 8],
	scale: 0.001,
};
const e5m2: ByteKind = {
	hasSums: false,
	kept: (stored) => stored,
	value: float8(15, 2),
	random: finite(0x7c, 2),
	exponents: [-14, 16],
	scale: 8e-6,
};

const sizes = [
	[32, 0],
	[7, 0],
	[67, 67],
	[384, 128],
	[200, 128],
	[1120, 0],
] as const;

export const gemm_f32_f8e4m3w = quantizedGemm(plain, byteLayout(e4m3), sizes);
export const gemm_f32_f8e5m2w = quantizedGemm(plain, byteLayout(e5m2), sizes);
export const embed_f8e4m3w = quantizedEmbed(byteLayout(e4m3), 200, 64);
export const embed_f8e5m2w = quantizedEmbed(byteLayout(e5m2), 75);

const plainSizes = [
	[37, 53],
	[32, 64],
	[16, 80],
] as const;
const scaledSizes = [
	[37, 53, 53],
	[32, 256, 128],
	[16, 200, 64],
] as const;

export const pack_f8e4m3w_f8_e4m3 = packingPlain(e4m3, plainSizes);
export const pack_f8e5m2w_f8_e5m2 = packingPlain(e5m2, plainSizes);
export const pack_f8e4m3w_f8_e4m3_f32 = packingScaled(
	e4m3,
	scaleTypes.f32,
	scaledSizes,
);
export const pack_f8e4m3w_f8_e4m3_f16 = packingScaled(
	e4m3,
	scaleTypes.f16,
	scaledSizes,
);
export const pack_f8e4m3w_f8_e4m3_bf16 = packingScaled(
	e4m3,
	scaleTypes.bf16,
	scaledSizes,
);
