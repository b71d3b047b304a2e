import type { Format } from "../../src/engine/layouts.ts";
import {
	type Float8,
	float8Layout,
	packingPlain,
	packingScaled,
} from "./float8-tiles.ts";
import { quantizedEmbed, quantizedGemm, type Sizes } from "./matrix.ts";
import type { Operands } from "./operands.ts";
import { plain } from "./quantize.ts";
import { withScales } from "./scales.ts";

/** Sign, exponent with a bias, `size` bits of fraction; no bits stand for NaN or infinity. */
function float8(bias: number, size: number): (bits: number) => number {
	const values = Array.from({ length: 256 }, (_, bits) => {
		const sign = bits & 128 ? -1 : 1;
		const exponent = (bits & 127) >> size;
		const fraction = (bits & (2 ** size - 1)) / 2 ** size;
		return exponent === 0
			? sign * fraction * 2 ** (1 - bias)
			: sign * (1 + fraction) * 2 ** (exponent - bias);
	});
	return (bits) => values[bits]!;
}

/** Any byte but those that stand for no number, which have all bits of `mask`: some rows are small, some all denormal. */
const finite = (mask: number, size: number) => (o: Operands, row: number) => {
	const most = [127, 8 << size, 2 ** size - 1][row % 3]!;
	let bits = mask;
	while ((bits & mask) === mask) bits = o.integer(0, most);
	return bits + 128 * o.integer(0, 1);
};

const e4m3: Float8 = {
	value: float8(7, 3),
	random: finite(0x7f, 3),
	exponents: [-6, 8],
	scale: 0.001,
};
const e5m2: Float8 = {
	value: float8(15, 2),
	random: finite(0x7c, 2),
	exponents: [-14, 16],
	scale: 8e-6,
};

const [f16, bf16, f32, shared] = (
	["F16", "BF16", "F32", "SHARED"] as const
).map((name) => withScales(name)) as [Format, Format, Format, Format];

const sizes: readonly Sizes[] = [
	[32, 0, f32],
	[7, 0, f32],
	[67, 67, bf16],
	[384, 128, f32],
	[384, 128, shared],
	[200, 128, bf16],
	[200, 64, f16],
	[1120, 0, shared],
];
const e5m2Sizes: readonly Sizes[] = [
	[32, 0],
	[7, 0],
	[67, 67],
	[1120, 0],
];

export const gemm_f32_f8e4m3w = quantizedGemm(plain, float8Layout(e4m3), sizes);
export const gemm_f32_f8e5m2w = quantizedGemm(
	plain,
	float8Layout(e5m2, f32),
	e5m2Sizes,
);
export const embed_f8e4m3w = quantizedEmbed(float8Layout(e4m3), 200, 64, bf16);
export const embed_f8e5m2w = quantizedEmbed(float8Layout(e5m2, f32), 75);

const plainSizes = [
	[37, 53],
	[32, 64],
	[16, 80],
] as const;

export const pack_f8e4m3w_f8_e4m3 = packingPlain(e4m3, plainSizes);
export const pack_f8e5m2w_f8_e5m2 = packingPlain(e5m2, plainSizes);
export const pack_f8e4m3w_f8_e4m3_scaled = packingScaled(e4m3, [
	[37, 53, 53, f32],
	[32, 256, 128, f32],
	[16, 200, 64, f16],
	[32, 256, 128, bf16],
	[37, 53, 53, shared],
	[32, 256, 128, shared],
]);
