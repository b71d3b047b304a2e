import { type Entry, exact } from "./entry.ts";

export const add_f32: Entry<"add_f32"> = {
	run({ y, a, b }, lo, hi, memory) {
		const [Y, A, B] = [memory.f32(y), memory.f32(a), memory.f32(b)];
		for (let i = lo; i < hi; i++) Y[i] = A[i]! + B[i]!;
	},
	units: (_, elements) => elements,
	grain: 1,
	tolerance: exact,
	cases: {
		"odd length": (o) => ({
			y: o.output("f32", 1003),
			a: o.normal(1003),
			b: o.normal(1003),
		}),
		"one element": (o) => ({
			y: o.output("f32", 1),
			a: o.f32([Infinity]),
			b: o.f32([-Infinity]),
		}),
		"into its own input": (o) => {
			const y = o.inPlace("f32", o.gaussians(48));
			return { y, a: y, b: o.normal(48) };
		},
	},
};
