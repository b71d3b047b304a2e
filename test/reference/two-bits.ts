import { type Bits, type Field, range } from "./ggml.ts";

/** Byte 32h + l of a stored block holds columns 128h + 32q + l. */
const stored = (from: number, c: number): Bits => [
	[from + 32 * (c >> 7) + (c % 32), 2 * ((c >> 5) & 3), 2],
];

/** 64 bytes for 16 columns of 16 rows, four columns to a byte. */
const packed = (to: number, c: number, r: number): Bits => [
	[to + 64 * (c >> 4) + 4 * r + (c & 3), 2 * ((c >> 2) & 3), 2],
];

/** 256 codes of 2 bits from byte `from` of a stored block, from `to` of a packed one. */
export const twoBitFields = (from: number, to: number): Field[] =>
	range(256).map((c) => ({
		stored: stored(from, c),
		packed: (r) => packed(to, c, r),
	}));
