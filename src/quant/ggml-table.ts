// ggml's types whose codes stand for entries of a table, or for −1, 0 and 1. k is the column, u an unsigned code.
//
//   IQ4_NL   18 bytes   32 columns  d qs[16]                T[u] · d                       4.5 bits
//   IQ4_XS  136 bytes  256 columns  d sh[2] sl[4] qs[128]   d · (s(j) − 32) · T[u]         4.25    j = k div 32
//   MXFP4    17 bytes   32 columns  e qs[16]                M[u] · 2^(e − 128)             4.25
//   TQ2_0    66 bytes  256 columns  qs[64] d                (u − 1) · d                    2.0625
//   TQ1_0    54 bytes  256 columns  qs[48] qh[4] d          (trit − 1) · d                 1.6875
//
// Nibbles: byte j of 16 holds column j (low) and j + 16 (high). MXFP4's table is doubled to stay integer, hence 128.
// A byte of TQ1_0 holds five trits as the fraction b / 256 in base 3: trit n = floor(3 · frac(b · 3^n / 256)).
// Source: ggml's published format, checked against its compiled scalar kernels.
import { f16 } from "./floats.ts";
import type { BlockType } from "./ggml-block.ts";

/** The 16 levels of IQ4_NL and IQ4_XS. */
export const IQ4_TABLE = [
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];
/** Twice the values of E2M1: sign, two exponent bits, one mantissa bit. */
export const MXFP4_TABLE = [
	0, 1, 2, 3, 4, 6, 8, 12, -0, -1, -2, -3, -4, -6, -8, -12,
];

/** Code k of a run of 16 bytes that holds 32. */
function nibble(view: DataView, qs: number, k: number): number {
	const byte = view.getUint8(qs + (k & 15));
	return k & 16 ? byte >> 4 : byte & 15;
}

export const tableTypes: readonly BlockType[] = [
	{
		name: "IQ4_NL",
		formula: "T[u] · d",
		cols: 32,
		bytes: 18,
		block: 32,
		scales: [0],
		activation: "block",
		layout: "iq4nlw",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at, true));
			for (let k = 0; k < 32; k++) {
				out[to + k] = IQ4_TABLE[nibble(view, at + 2, k)]! * d;
			}
		},
	},
	{
		name: "IQ4_XS",
		formula: "d · (s − 32) · T[u]",
		cols: 256,
		bytes: 136,
		block: 32,
		scales: [0],
		activation: "k-block",
		layout: "iq4xsw",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at, true));
			const high = view.getUint16(at + 2, true);
			for (let k = 0; k < 256; k++) {
				const j = k >> 5;
				const low = view.getUint8(at + 4 + (j >> 1)) >> (4 * (j & 1));
				const s = (low & 15) + 16 * ((high >> (2 * j)) & 3) - 32;
				const level = IQ4_TABLE[nibble(view, at + 8 + 16 * j, k & 31)]!;
				out[to + k] = Math.fround(d * s) * level;
			}
		},
	},
	{
		name: "MXFP4",
		formula: "M[u] · 2^(e − 128)",
		cols: 32,
		bytes: 17,
		block: 32,
		scales: "e8m0",
		activation: "block",
		layout: "mxfp4w",
		decode(view, at, out, to) {
			const d = 2 ** (view.getUint8(at) - 128);
			for (let k = 0; k < 32; k++) {
				out[to + k] = MXFP4_TABLE[nibble(view, at + 1, k)]! * d;
			}
		},
	},
	{
		name: "TQ2_0",
		formula: "(u − 1) · d",
		cols: 256,
		bytes: 66,
		block: 256,
		scales: [64],
		activation: "k-block",
		layout: "tq2w",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at + 64, true));
			for (let k = 0; k < 256; k++) {
				const byte = view.getUint8(at + 32 * (k >> 7) + (k & 31));
				out[to + k] = (((byte >> (2 * ((k >> 5) & 3))) & 3) - 1) * d;
			}
		},
	},
	{
		name: "TQ1_0",
		formula: "(trit − 1) · d",
		cols: 256,
		bytes: 54,
		block: 256,
		scales: [52],
		activation: "k-block",
		layout: "tq1w",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at + 52, true));
			// runs of bytes, each holding column i + run · n as trit n of byte i
			for (const [first, run, trits, column] of [
				[0, 32, 5, 0],
				[32, 16, 5, 160],
				[48, 4, 4, 240],
			] as const) {
				for (let n = 0, power = 1; n < trits; n++, power *= 3) {
					for (let i = 0; i < run; i++) {
						const byte = view.getUint8(at + first + i);
						const trit = (((byte * power) & 255) * 3) >> 8;
						out[to + column + run * n + i] = (trit - 1) * d;
					}
				}
			}
		},
	},
];
