import type { Entry, Tolerance } from "./entry.ts";

/** A few roundings on values of about 1, and a sum of up to 2,048 squares in f32. */
const tolerance: Tolerance = { absolute: 1e-6, relative: 2e-6 };

export const rmsnorm_f32: Entry<"rmsnorm_f32"> = {
	run({ y, x, w, d, eps }, lo, hi, memory) {
		const [Y, X, W] = [memory.f32(y), memory.f32(x), memory.f32(w)];
		for (let t = lo; t < hi; t++) {
			let squares = 0;
			for (let i = 0; i < d; i++) squares += X[t * d + i]! ** 2;
			const scale = 1 / Math.sqrt(squares / d + eps);
			for (let i = 0; i < d; i++) Y[t * d + i] = X[t * d + i]! * scale * W[i]!;
		}
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance,
	cases: {
		"five rows": (o) => ({
			y: o.output("f32", 5 * 576),
			x: o.normal(5 * 576, 10),
			w: o.normal(576),
			d: 576,
			eps: 1e-5,
		}),
		"heads of 8, in place": (o) => {
			const y = o.inPlace("f32", o.gaussians(33 * 8));
			return { y, x: y, w: o.normal(8), d: 8, eps: 1e-6 };
		},
		"one row of odd length": (o) => ({
			y: o.output("f32", 1151),
			x: o.normal(1151),
			w: o.normal(1151),
			d: 1151,
			eps: 1e-6,
		}),
		"zeros and tiny values": (o) => ({
			y: o.output("f32", 2 * 64),
			x: o.f32(Array.from({ length: 128 }, (_, i) => (i < 64 ? 0 : 1e-12))),
			w: o.normal(64),
			d: 64,
			eps: 1e-6,
		}),
	},
};

export const layernorm_f32: Entry<"layernorm_f32"> = {
	run({ y, x, w, b, d, eps }, lo, hi, memory) {
		const [Y, X] = [memory.f32(y), memory.f32(x)];
		const [W, B] = [memory.f32(w), memory.f32(b)];
		for (let t = lo; t < hi; t++) {
			const row = X.subarray(t * d, t * d + d);
			let mean = 0;
			for (const value of row) mean += value / d;
			let variance = 0;
			for (const value of row) variance += (value - mean) ** 2 / d;
			const scale = 1 / Math.sqrt(variance + eps);
			for (let i = 0; i < d; i++)
				Y[t * d + i] = (row[i]! - mean) * scale * W[i]! + B[i]!;
		}
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance,
	cases: {
		"five rows": (o) => ({
			y: o.output("f32", 5 * 1152),
			x: o.normal(5 * 1152, 3),
			w: o.normal(1152),
			b: o.normal(1152),
			d: 1152,
			eps: 1e-6,
		}),
		"one row of odd length": (o) => ({
			y: o.output("f32", 75),
			x: o.normal(75),
			w: o.normal(75),
			b: o.normal(75),
			d: 75,
			eps: 1e-6,
		}),
	},
};
