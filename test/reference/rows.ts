import { type Entry, exact, type Tolerance } from "./entry.ts";
import type { Operands } from "./operands.ts";

/** A sum of a few f32. */
const summed: Tolerance = { absolute: 1e-6, relative: 1e-6 };

export const gather_f32: Entry<"gather_f32"> = {
	run({ y, x, index, d }, lo, hi, memory) {
		const [Y, X, I] = [memory.f32(y), memory.f32(x), memory.i32(index)];
		for (let t = lo; t < hi; t++) {
			const from = I[t]!;
			for (let i = 0; from >= 0 && i < d; i++) Y[t * d + i] = X[from * d + i]!;
		}
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance: exact,
	cases: {
		"some rows, one of them twice, one not at all": (o) => ({
			y: o.inPlace("f32", o.gaussians(5 * 21)),
			x: o.normal(8 * 21),
			index: o.i32([7, 0, -1, 7, 3]),
			d: 21,
		}),
		"one row": (o) => ({
			y: o.output("f32", 64),
			x: o.normal(3 * 64),
			index: o.i32([2]),
			d: 64,
		}),
	},
};

/** d columns in an order of their own, with gaps between them: k in all. */
function scattered(o: Operands, d: number, k: number): Int32Array {
	const columns = Int32Array.from({ length: k }, (_, i) => (i < d ? i : -1));
	for (let i = k - 1; i > 0; i--) {
		const j = o.integer(0, i);
		[columns[i], columns[j]] = [columns[j]!, columns[i]!];
	}
	return columns;
}

export const gather_columns_f32: Entry<"gather_columns_f32"> = {
	run({ y, x, columns, k, d }, lo, hi, memory) {
		const [Y, X, C] = [memory.f32(y), memory.f32(x), memory.i32(columns)];
		for (let t = lo; t < hi; t++)
			for (let i = 0; i < k; i++)
				Y[t * k + i] = C[i]! < 0 ? 0 : X[t * d + C[i]!]!;
	},
	units: ({ k }, elements) => elements / k,
	grain: 1,
	tolerance: exact,
	cases: {
		"five rows, some columns none": (o) => ({
			y: o.output("f32", 5 * 64),
			x: o.normal(5 * 37),
			columns: o.i32(scattered(o, 37, 64)),
			k: 64,
			d: 37,
		}),
	},
};

export const scatter_columns_f32: Entry<"scatter_columns_f32"> = {
	run({ y, x, columns, k, d }, lo, hi, memory) {
		const [Y, X, C] = [memory.f32(y), memory.f32(x), memory.i32(columns)];
		for (let t = lo; t < hi; t++)
			for (let i = 0; i < k; i++)
				if (C[i]! >= 0) Y[t * d + C[i]!] = X[t * k + i]!;
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance: exact,
	cases: {
		"five rows, some columns none": (o) => ({
			y: o.output("f32", 5 * 37),
			x: o.normal(5 * 64),
			columns: o.i32(scattered(o, 37, 64)),
			k: 64,
			d: 37,
		}),
	},
};

export const spread_blocks_f32: Entry<"spread_blocks_f32"> = {
	run({ y, x, d, block, wide }, lo, hi, memory) {
		const [Y, X] = [memory.f32(y), memory.f32(x)];
		const k = (d / block) * wide;
		for (let t = lo; t < hi; t++) {
			for (let i = 0; i < k; i++) Y[t * k + i] = 0;
			for (let c = 0; c < d; c++)
				Y[t * k + Math.floor(c / block) * wide + (c % block)] = X[t * d + c]!;
		}
	},
	units: ({ d, block, wide }, elements) => elements / ((d / block) * wide),
	grain: 1,
	tolerance: exact,
	cases: {
		"five rows in blocks of 12": (o) => ({
			y: o.output("f32", 5 * 96),
			x: o.normal(5 * 36),
			d: 36,
			block: 12,
			wide: 32,
		}),
		"three rows of one block": (o) => ({
			y: o.output("f32", 3 * 64),
			x: o.normal(3 * 37),
			d: 37,
			block: 37,
			wide: 64,
		}),
	},
};

export const join_blocks_f32: Entry<"join_blocks_f32"> = {
	run({ y, x, d, block, wide }, lo, hi, memory) {
		const [Y, X] = [memory.f32(y), memory.f32(x)];
		const k = (d / block) * wide;
		for (let t = lo; t < hi; t++)
			for (let c = 0; c < d; c++)
				Y[t * d + c] = X[t * k + Math.floor(c / block) * wide + (c % block)]!;
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance: exact,
	cases: {
		"five rows in blocks of 12": (o) => ({
			y: o.output("f32", 5 * 36),
			x: o.normal(5 * 96),
			d: 36,
			block: 12,
			wide: 32,
		}),
	},
};

export const pool_f32: Entry<"pool_f32"> = {
	run({ y, x, grid, by, d }, lo, hi, memory) {
		const [Y, X] = [memory.f32(y), memory.f32(x)];
		const squares = grid / by;
		for (let r = lo; r < hi; r++) {
			const [top, left] = [Math.floor(r / squares) * by, (r % squares) * by];
			for (let i = 0; i < d; i++) {
				let sum = 0;
				for (let a = top; a < top + by; a++)
					for (let b = left; b < left + by; b++)
						sum += X[(a * grid + b) * d + i]!;
				Y[r * d + i] = sum / (by * by);
			}
		}
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance: summed,
	cases: {
		"squares of 4 in a grid of 8, odd rows": (o) => ({
			y: o.output("f32", 4 * 21),
			x: o.normal(64 * 21),
			grid: 8,
			by: 4,
			d: 21,
		}),
		"squares of 1": (o) => ({
			y: o.output("f32", 9 * 16),
			x: o.normal(9 * 16),
			grid: 3,
			by: 1,
			d: 16,
		}),
		"one square": (o) => ({
			y: o.output("f32", 72),
			x: o.normal(9 * 72),
			grid: 3,
			by: 3,
			d: 72,
		}),
	},
};
