// ggml's types of 32 columns per block. d, m are f16; u is an unsigned code, q a signed byte.
//
//   Q4_0  18 bytes  d qs[16]             (u − 8) · d         4.5 bits
//   Q4_1  20 bytes  d m qs[16]           u · d + m           5
//   Q5_0  22 bytes  d qh[4] qs[16]       (u − 16) · d        5.5
//   Q5_1  24 bytes  d m qh[4] qs[16]     u · d + m           6
//   Q8_0  34 bytes  d q[32]              q · d               8.5
//
//   qs: byte j holds column j in its low nibble and column j + 16 in its high one.  qh: bit k is bit 4 of column k.
// Source: ggml's published format, checked against its compiled scalar kernels.
import { f16 } from "./floats.ts";
import type { BlockType } from "./ggml-block.ts";

const HALF = 16;

/** Unsigned codes of 4 bits, or 5 where there are high bits at `high`. */
function codeReader(view: DataView, nibbles: number, high?: number) {
	const bits = high === undefined ? 0 : view.getUint32(high, true);
	return (k: number): number => {
		const byte = view.getUint8(nibbles + (k & 15));
		const low = k < HALF ? byte & 15 : byte >> 4;
		return low | (((bits >>> k) & 1) << 4);
	};
}

function symmetric(
	name: string,
	bytes: number,
	offset: number,
	highAt: number | undefined,
	layout: string,
): BlockType {
	return {
		name,
		formula: `(u − ${offset}) · d`,
		cols: 32,
		bytes,
		block: 32,
		scales: [0],
		activation: "block",
		layout,
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at, true));
			const high = highAt === undefined ? undefined : at + highAt;
			const code = codeReader(view, at + bytes - HALF, high);
			for (let k = 0; k < 32; k++) out[to + k] = (code(k) - offset) * d;
		},
	};
}

function affine(
	name: string,
	bytes: number,
	highAt: number | undefined,
	layout: string,
): BlockType {
	return {
		name,
		formula: "u · d + m",
		cols: 32,
		bytes,
		block: 32,
		scales: [0, 2],
		activation: "block",
		layout,
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at, true));
			const m = f16(view.getUint16(at + 2, true));
			const high = highAt === undefined ? undefined : at + highAt;
			const code = codeReader(view, at + bytes - HALF, high);
			for (let k = 0; k < 32; k++) out[to + k] = Math.fround(code(k) * d) + m;
		},
	};
}

export const legacyTypes: readonly BlockType[] = [
	symmetric("Q4_0", 18, 8, undefined, "qb4w_f16"),
	affine("Q4_1", 20, undefined, "q4_1w"),
	symmetric("Q5_0", 22, 16, 2, "qb5w"),
	affine("Q5_1", 24, 4, "q5_1w"),
	{
		name: "Q8_0",
		formula: "q · d",
		cols: 32,
		bytes: 34,
		block: 32,
		scales: [0],
		activation: "block",
		layout: "qb8w",
		decode(view, at, out, to) {
			const d = f16(view.getUint16(at, true));
			for (let k = 0; k < 32; k++) out[to + k] = view.getInt8(at + 2 + k) * d;
		},
	},
];
