import { type Entry, exact } from "./entry.ts";

export const argmax_f32: Entry<"argmax_f32"> = {
	run({ y, x, n }, lo, hi, memory) {
		const [Y, X] = [memory.i32(y), memory.f32(x)];
		for (let t = lo; t < hi; t++) {
			const row = X.subarray(t * n, t * n + n);
			Y[t] = row.some(Number.isNaN) ? -1 : row.indexOf(Math.max(...row));
		}
	},
	units: (_, elements) => elements,
	grain: 1,
	tolerance: exact,
	cases: {
		"odd length": (o) => ({
			y: o.output("i32", 4),
			x: o.normal(4 * 1003),
			n: 1003,
		}),
		"ties, the last element, infinities, NaN": (o) => ({
			y: o.output("i32", 6),
			x: o.f32([
				...[0, 5, 5, 1, 5, 0, 0, 0, 0],
				...[0, 0, 0, 0, 0, 0, 0, 0, 9],
				...Array.from({ length: 9 }, () => -Infinity),
				...[0, 0, 0, Infinity, 0, 0, 0, Infinity, 0],
				...[0, 0, 0, 9, 0, 0, 0, 0, Number.NaN],
				...[Number.NaN, 0, 0, 9, 0, 0, 0, 0, 9],
			]),
			n: 9,
		}),
	},
};

const logSumExp = (row: Float32Array) => {
	const largest = Math.max(...row);
	let sum = 0;
	for (const value of row) sum += Math.exp(value - largest);
	return largest + Math.log(sum);
};

export const softmax_f32: Entry<"softmax_f32"> = {
	run({ y, x, n }, lo, hi, memory) {
		const [Y, X] = [memory.f32(y), memory.f32(x)];
		for (let t = lo; t < hi; t++) {
			const row = X.slice(t * n, t * n + n);
			const total = logSumExp(row);
			for (let i = 0; i < n; i++) Y[t * n + i] = Math.exp(row[i]! - total);
		}
	},
	units: ({ n }, elements) => elements / n,
	grain: 1,
	// Rounding x − max costs up to |x − max| · 6e-8, e^x and the product 2e-7.
	tolerance: { absolute: 1e-37, relative: 3e-6 },
	cases: {
		"odd length": (o) => ({
			y: o.output("f32", 3 * 1003),
			x: o.normal(3 * 1003, 5),
			n: 1003,
		}),
		"in place, some masked": (o) => {
			const values = o.gaussians(4 * 33).fill(-Infinity, 1, 30);
			const y = o.inPlace("f32", values);
			return { y, x: y, n: 33 };
		},
	},
};

export const logsoftmax_at_f32: Entry<"logsoftmax_at_f32"> = {
	run({ y, x, index, n }, lo, hi, memory) {
		const [Y, X, I] = [memory.f32(y), memory.f32(x), memory.i32(index)];
		for (let t = lo; t < hi; t++)
			Y[t] = X[t * n + I[t]!]! - logSumExp(X.subarray(t * n, t * n + n));
	},
	units: (_, elements) => elements,
	grain: 1,
	tolerance: { absolute: 2e-7, relative: 1.2e-7 },
	cases: {
		"odd length": (o) => ({
			y: o.output("f32", 5),
			x: o.normal(5 * 1003, 5),
			index: o.i32([0, 1002, 500, 3, 4]),
			n: 1003,
		}),
		"one certain row": (o) => ({
			y: o.output("f32", 1),
			x: o.f32([100, -Infinity, -100, 3, 2]),
			index: o.i32([0]),
			n: 5,
		}),
	},
};
