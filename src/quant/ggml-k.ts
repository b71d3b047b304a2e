// ggml's K types: 256 columns per block in groups of 16 or 32, whose scales are small integers times the block's f16 d
// (and dmin). k is the column, u an unsigned code.
//
//   Q2_K   84 bytes  sc[16] qs[64] d dmin          d·(sc[j] & 15)·u − dmin·(sc[j] >> 4)    j = k div 16    2.625 bits
//   Q3_K  110 bytes  hmask[32] qs[64] sc[12] d     d·(s(j) − 32)·(u − (hidden ? 0 : 4))    j = k div 16    3.4375
//   Q4_K  144 bytes  d dmin sc[12] qs[128]         d·s(j)·u − dmin·m(j)                    j = k div 32    4.5
//   Q5_K  176 bytes  d dmin sc[12] qh[32] qs[128]  as Q4_K, bit 4 from qh                  j = k div 32    5.5
//   Q6_K  210 bytes  ql[128] qh[64] sc[16] d       d·sc[j]·(u − 32)                        j = k div 16    6.5625
//
// 2-bit codes: byte 32·(k div 128) + k mod 32, bits 2·(k div 32 mod 4).  4-bit codes: byte 32·(k div 64) + k mod 32, the
// low nibble for even k div 32.  High bits of Q3_K and Q5_K: bit k div 32 of byte k mod 32.
// Source: ggml's published format, checked against its compiled scalar kernels.
import { f16 } from "./floats.ts";
import type { BlockType } from "./ggml-block.ts";

const COLS = 256;

function type(about: Omit<BlockType, "cols" | "activation">): BlockType {
	return { ...about, cols: COLS, activation: "k-block" };
}

/** Rounds d · s, then times u, as ggml does; subtracting dmin · m is a third rounding. */
function scaled(d: number, s: number, u: number): number {
	return Math.fround(Math.fround(d * s) * u);
}

function code2(view: DataView, qs: number, k: number): number {
	return (
		(view.getUint8(qs + 32 * (k >> 7) + (k & 31)) >> (2 * ((k >> 5) & 3))) & 3
	);
}

function code4(view: DataView, qs: number, k: number): number {
	const byte = view.getUint8(qs + 32 * (k >> 6) + (k & 31));
	return k & 32 ? byte >> 4 : byte & 15;
}

function highBit(view: DataView, mask: number, k: number): number {
	return (view.getUint8(mask + (k & 31)) >> (k >> 5)) & 1;
}

/** The 6-bit scale and minimum of group j, eight of each in 12 bytes: groups 4 to 7 are spread over three of them. */
function scaleAndMin(view: DataView, sc: number, j: number): [number, number] {
	const at = (i: number) => view.getUint8(sc + i);
	return j < 4
		? [at(j) & 63, at(j + 4) & 63]
		: [
				(at(j + 4) & 15) | ((at(j - 4) >> 6) << 4),
				(at(j + 4) >> 4) | ((at(j) >> 6) << 4),
			];
}

/** Q4_K, and Q5_K where there are high bits. */
function affine(name: string, bytes: number, high: boolean): BlockType {
	return type({
		name,
		formula: "d · s · u − dmin · m",
		bytes,
		block: 32,
		scales: [0, 2],
		layout: high ? "q5kw" : "q4kw",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at, true));
			const dmin = f16(view.getUint16(at + 2, true));
			for (let k = 0; k < COLS; k++) {
				const [s, m] = scaleAndMin(view, at + 4, k >> 5);
				const top = high ? highBit(view, at + 16, k) << 4 : 0;
				const u = code4(view, at + bytes - 128, k) | top;
				out[to + k] = scaled(d, s, u) - Math.fround(dmin * m);
			}
		},
	});
}

export const kTypes: readonly BlockType[] = [
	type({
		name: "Q2_K",
		formula: "d · s · u − dmin · m",
		bytes: 84,
		block: 16,
		scales: [80, 82],
		layout: "q2kw",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at + 80, true));
			const dmin = f16(view.getUint16(at + 82, true));
			for (let k = 0; k < COLS; k++) {
				const sc = view.getUint8(at + (k >> 4));
				const value = scaled(d, sc & 15, code2(view, at + 16, k));
				out[to + k] = value - Math.fround(dmin * (sc >> 4));
			}
		},
	}),
	type({
		name: "Q3_K",
		formula: "d · (s − 32) · (u − 4)",
		bytes: 110,
		block: 16,
		scales: [108],
		layout: "q3kw",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at + 108, true));
			const sc = (i: number) => view.getUint8(at + 96 + i);
			for (let k = 0; k < COLS; k++) {
				const j = k >> 4;
				const low = j < 8 ? sc(j) & 15 : sc(j - 8) >> 4;
				const high = (sc(8 + (j & 3)) >> (2 * (j >> 2))) & 3;
				const u = code2(view, at + 32, k) - 4 * (1 - highBit(view, at, k));
				out[to + k] = scaled(d, low + 16 * high - 32, u);
			}
		},
	}),
	affine("Q4_K", 144, false),
	affine("Q5_K", 176, true),
	type({
		name: "Q6_K",
		formula: "d · s · (u − 32)",
		bytes: 210,
		block: 16,
		scales: [208],
		layout: "q6kw",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at + 208, true));
			for (let k = 0; k < COLS; k++) {
				const [half, quarter, l] = [k >> 7, (k >> 5) & 3, k & 31];
				const byte = view.getUint8(at + 64 * half + 32 * (quarter & 1) + l);
				const low = quarter < 2 ? byte & 15 : byte >> 4;
				const high =
					(view.getUint8(at + 128 + 32 * half + l) >> (2 * quarter)) & 3;
				const s = view.getInt8(at + 192 + (k >> 4));
				out[to + k] = scaled(d, s, low + 16 * high - 32);
			}
		},
	}),
];
