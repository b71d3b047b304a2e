import type { Bits, Field } from "./ggml.ts";
import { range } from "./ggml.ts";

/** Scales and minimums of 6 bits of 8 groups, in 12 bytes from byte 4 of a stored block. */
const stored = (g: number, isMinimum: boolean): Bits => {
	const at = 4 + (isMinimum ? 4 : 0);
	if (g < 4) return [[at + g, 0, 6]];
	return [
		[8 + g, isMinimum ? 4 : 0, 4],
		[at + g - 4, 6, 2],
	];
};

/** From byte 64 of a packed block: 16 bytes of low nibbles per group, then 16 bytes of high bits per pair of groups. */
const packed = (g: number, isMinimum: boolean, r: number): Bits => [
	[64 + 16 * g + r, isMinimum ? 4 : 0, 4],
	[192 + 16 * Math.floor(g / 2) + r, (isMinimum ? 4 : 0) + 2 * (g % 2), 2],
];

export const sixBitFields: readonly Field[] = range(8).flatMap((g) =>
	[false, true].map((isMinimum) => ({
		stored: stored(g, isMinimum),
		packed: (r) => packed(g, isMinimum, r),
	})),
);
