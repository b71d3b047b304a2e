import type { View } from "./entry.ts";
import type { Operands } from "./operands.ts";

/** The operands that every matrix kernel has beside its weights. */
export interface MatrixCall {
	readonly rows: number;
	readonly n: number;
	readonly k: number;
	readonly bias?: boolean;
	/** "in place": y holds the residual before the call. */
	readonly residual?: boolean | "in place";
}

/** Sizes that every layout is tried on; `k` is given by the layout. */
export const matrixCalls: Readonly<Record<string, Omit<MatrixCall, "k">>> = {
	"one row": { rows: 1, n: 48 },
	"one row, odd n, bias and residual": {
		rows: 1,
		n: 37,
		bias: true,
		residual: true,
	},
	"two rows, fewer than a tile of columns": { rows: 2, n: 5, bias: true },
	"thirteen rows, odd n, in place": {
		rows: 13,
		n: 51,
		bias: true,
		residual: "in place",
	},
	"many rows": { rows: 300, n: 32, residual: true },
};

/** y, bias, residual, sizes and scratch of a call. */
export function matrixOperands(o: Operands, call: MatrixCall) {
	const { rows, n, k } = call;
	const inPlace = call.residual === "in place";
	const y = inPlace
		? o.inPlace("f32", o.gaussians(rows * n))
		: o.output("f32", rows * n);
	return {
		y,
		bias: call.bias ? o.normal(n) : 0,
		residual: inPlace ? y : call.residual ? o.normal(rows * n) : 0,
		rows,
		n,
		k,
		scratch: o.scratch(),
	};
}

/** y[t, j] = residual + bias + dot(t, j) for columns [lo, hi). */
export function matrixProduct(
	args: {
		y: number;
		bias: number;
		residual: number;
		rows: number;
		n: number;
	},
	lo: number,
	hi: number,
	memory: View,
	dot: (t: number, j: number) => number,
): void {
	const { rows, n } = args;
	const y = memory.f32(args.y);
	const bias = args.bias === 0 ? undefined : memory.f32(args.bias);
	const residual = args.residual === 0 ? undefined : memory.f32(args.residual);
	for (let t = 0; t < rows; t++) {
		for (let j = lo; j < Math.min(hi, n); j++)
			y[t * n + j] =
				(residual?.[t * n + j] ?? 0) + (bias?.[j] ?? 0) + dot(t, j);
	}
}

/** Σ_c a[c] · b[c] of two functions of a column. */
export function sum(k: number, term: (c: number) => number): number {
	let total = 0;
	for (let c = 0; c < k; c++) total += term(c);
	return total;
}

/** Rows padded to whole tiles. */
export const padded = (n: number) => Math.ceil(n / 16) * 16;

/** Grain of kernels whose source starts at the range's first unit: their ranges are not cut. test/pack.test.ts does that. */
export const WHOLE = 2 ** 30;

/** Rows r and r + 4 are neighbours: 0 4 1 5 2 6 3 7, and so on from 8. */
export const pairedPlace = (row: number) =>
	(row & 8) + 2 * (row & 3) + ((row >> 2) & 1);
