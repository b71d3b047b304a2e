import { type Entry, exact, type Tolerance } from "./entry.ts";

const ODD = 1003;
/** Large and small arguments, both zeros, infinities and NaN. */
const special = [
	0,
	-0,
	1e-30,
	-1e-30,
	20,
	-20,
	80,
	-80,
	1000,
	-1000,
	Infinity,
	Number.NaN,
	3.4e38,
];
/** e^x to 1.2e-7, and two roundings; 0 where e^-x overflows. */
const activation: Tolerance = { absolute: 1e-35, relative: 3e-7 };

const silu = (x: number) => x / (1 + Math.exp(-x));
const gelu = (x: number) =>
	x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));

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
			y: o.output("f32", ODD),
			a: o.normal(ODD),
			b: o.normal(ODD),
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

export const scale_f32: Entry<"scale_f32"> = {
	run({ y, x, by }, lo, hi, memory) {
		const [Y, X] = [memory.f32(y), memory.f32(x)];
		for (let i = lo; i < hi; i++) Y[i] = X[i]! * Math.fround(by);
	},
	units: (_, elements) => elements,
	grain: 1,
	tolerance: exact,
	cases: {
		"odd length": (o) => ({
			y: o.output("f32", ODD),
			x: o.normal(ODD),
			by: Math.sqrt(640),
		}),
		"in place": (o) => {
			const y = o.inPlace("f32", o.gaussians(48));
			return { y, x: y, by: -3 };
		},
	},
};

export const swiglu_f32: Entry<"swiglu_f32"> = {
	run({ y, gate, up }, lo, hi, memory) {
		const [Y, G, U] = [memory.f32(y), memory.f32(gate), memory.f32(up)];
		for (let i = lo; i < hi; i++) Y[i] = silu(G[i]!) * U[i]!;
	},
	units: (_, elements) => elements,
	grain: 1,
	tolerance: activation,
	cases: {
		"odd length": (o) => ({
			y: o.output("f32", ODD),
			gate: o.normal(ODD, 4),
			up: o.normal(ODD),
		}),
		"gates from −85 to 85": (o) => ({
			y: o.output("f32", 4001),
			gate: o.f32(Array.from({ length: 4001 }, (_, i) => (i - 2000) / 23.5)),
			up: o.f32(Array.from({ length: 4001 }, () => 1)),
		}),
		"special values": (o) => ({
			y: o.output("f32", special.length),
			gate: o.f32(special),
			up: o.f32(special.map(() => 1)),
		}),
	},
};

export const geglu_f32: Entry<"geglu_f32"> = {
	run({ y, gate, up }, lo, hi, memory) {
		const [Y, G, U] = [memory.f32(y), memory.f32(gate), memory.f32(up)];
		for (let i = lo; i < hi; i++) Y[i] = gelu(G[i]!) * U[i]!;
	},
	units: (_, elements) => elements,
	grain: 1,
	// e^z amplifies the rounding of z, which reaches 40 at gate = −4.
	tolerance: { absolute: 1e-9, relative: 5e-6 },
	cases: {
		"odd length": (o) => ({
			y: o.output("f32", ODD),
			gate: o.normal(ODD, 2),
			up: o.normal(ODD),
		}),
	},
};

export const gelu_f32: Entry<"gelu_f32"> = {
	run({ y, x }, lo, hi, memory) {
		const [Y, X] = [memory.f32(y), memory.f32(x)];
		for (let i = lo; i < hi; i++) Y[i] = gelu(X[i]!);
	},
	units: (_, elements) => elements,
	grain: 1,
	tolerance: geglu_f32.tolerance,
	cases: {
		"odd length": (o) => ({ y: o.output("f32", ODD), x: o.normal(ODD, 2) }),
		"special values": (o) => ({
			y: o.output("f32", special.length),
			x: o.f32(special),
		}),
	},
};
