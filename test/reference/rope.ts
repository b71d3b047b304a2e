import type { Entry } from "./entry.ts";

const { fround } = Math;

/** inv_freq of rotary base `theta` for heads of 2 · half elements. */
const frequencies = (half: number, theta: number) =>
	Array.from({ length: half }, (_, j) => theta ** (-j / half));

export const rope_table_f32: Entry<"rope_table_f32"> = {
	run({ cos_sin, position, inv_freq, half, attention_factor }, lo, hi, memory) {
		const table = memory.f32(cos_sin);
		const [P, F] = [memory.i32(position), memory.f32(inv_freq)];
		for (let t = lo; t < hi; t++) {
			for (let j = 0; j < half; j++) {
				const angle = fround(fround(P[t]!) * F[j]!);
				table[2 * half * t + j] = Math.cos(angle) * attention_factor;
				table[2 * half * t + half + j] = Math.sin(angle) * attention_factor;
			}
		}
	},
	units: ({ half }, elements) => elements / (2 * half),
	grain: 1,
	// One rounding of the exact value, and one of the product.
	tolerance: { absolute: 1e-10, relative: 1.2e-7 },
	cases: {
		"positions up to 2^20": (o) => ({
			cos_sin: o.output("f32", 9 * 64),
			position: o.i32([0, 1, 2, 63, 4095, 8191, 65537, 131071, 1048576]),
			inv_freq: o.f32(frequencies(32, 1e4)),
			half: 32,
			attention_factor: 1,
		}),
		"one row with a factor": (o) => ({
			cos_sin: o.output("f32", 8),
			position: o.i32([511]),
			inv_freq: o.f32(frequencies(4, 5e6)),
			half: 4,
			attention_factor: 1.25,
		}),
	},
};

export const rope_f32: Entry<"rope_f32"> = {
	run({ x, cos_sin, heads, d }, lo, hi, memory) {
		const [X, table] = [memory.f32(x), memory.f32(cos_sin)];
		const half = d / 2;
		for (let u = lo; u < hi; u++) {
			const row = Math.floor(u / heads) * d;
			for (let j = 0; j < half; j++) {
				const [a, b] = [X[u * d + j]!, X[u * d + half + j]!];
				const [c, s] = [table[row + j]!, table[row + half + j]!];
				X[u * d + j] = a * c - b * s;
				X[u * d + half + j] = b * c + a * s;
			}
		}
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance: { absolute: 5e-7, relative: 2e-7 },
	cases: Object.fromEntries(
		[
			[1, 9, 64],
			[7, 3, 64],
			[5, 2, 8],
			[2, 1, 20],
		].map(([rows = 0, heads = 0, d = 0]) => [
			`${rows} rows, ${heads} heads of ${d}`,
			(o) => ({
				x: o.inPlace("f32", o.gaussians(rows * heads * d)),
				cos_sin: o.f32(Array.from(o.gaussians(rows * d), Math.cos)),
				heads,
				d,
			}),
		]),
	),
};
