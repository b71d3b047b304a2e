import { type Entry, exact } from "./entry.ts";

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
