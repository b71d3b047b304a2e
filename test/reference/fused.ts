import type { KernelName } from "../../src/engine/kernels.ts";
import { activations } from "../../src/engine/layouts.ts";
import { type Entry, exact } from "./entry.ts";
import type { Operands } from "./operands.ts";
import {
	quantize_f32_qb8,
	quantize_f32_qd8,
	quantize_f32_qs8,
} from "./quantize.ts";
import { quantize_f32_qk8 } from "./quantize-k.ts";

// The inputs make the first half exact in f32, so that not a bit of the second is in doubt: rows of ±1 have the mean
// square 1, and silu and gelu of 0 and 100 are 0 and 100. fused.test.ts compares any numbers with the two kernels in turn.

const ROWS = 3;
const f32 = Math.fround;

const quantizers = {
	qb8: quantize_f32_qb8,
	qd8: quantize_f32_qd8,
	qs8: quantize_f32_qs8,
	qk8: quantize_f32_qk8,
};

type Form = keyof typeof quantizers;
type Norm = Extract<KernelName, `rmsnorm_f32_${Form}`>;
type Gated = Extract<KernelName, `${"swiglu" | "geglu"}_f32_${Form}`>;

/** Bytes of a quantized row of k columns. */
const rowBytes = (form: Form, k: number) => activations[form].rowBytes(k);

function norm(form: Form, d = 96): Entry<Norm> {
	return {
		run({ y, x, w, d, scratch }, lo, hi, memory) {
			for (let t = lo; t < hi; t++) {
				const [X, W] = [memory.f32(x + 4 * t * d), memory.f32(w)];
				const product = memory.f32(scratch);
				for (let i = 0; i < d; i++) product[i] = f32(X[i]! * W[i]!);
				const to = y + t * rowBytes(form, d);
				quantizers[form].run({ y: to, x: scratch, k: d }, 0, 1, memory);
			}
		},
		units: ({ d }, bytes) => bytes / rowBytes(form, d),
		grain: 1,
		tolerance: exact,
		cases: {
			"rows of ones": (o) => ({
				y: o.output("bytes", ROWS * rowBytes(form, d)),
				x: o.f32(o.integers(ROWS * d, 0, 1).map((bit) => 2 * bit - 1)),
				w: o.normal(d),
				d,
				eps: 0,
				scratch: o.scratch(),
			}),
		},
	};
}

function gated(form: Form, k = 160): Entry<Gated> {
	const zeroOr100 = (o: Operands, count: number) =>
		o.f32(o.integers(count, 0, 1).map((bit) => 100 * bit));
	return {
		run({ y, gate, up, k, scratch }, lo, hi, memory) {
			for (let t = lo; t < hi; t++) {
				const [G, U] = [
					memory.f32(gate + 4 * t * k),
					memory.f32(up + 4 * t * k),
				];
				const product = memory.f32(scratch);
				for (let i = 0; i < k; i++) product[i] = f32(G[i]! * U[i]!);
				const to = y + t * rowBytes(form, k);
				quantizers[form].run({ y: to, x: scratch, k }, 0, 1, memory);
			}
		},
		units: ({ k }, bytes) => bytes / rowBytes(form, k),
		grain: 1,
		tolerance: exact,
		cases: {
			"gates open or shut": (o) => ({
				y: o.output("bytes", ROWS * rowBytes(form, k)),
				gate: zeroOr100(o, ROWS * k),
				up: o.normal(ROWS * k),
				k,
				scratch: o.scratch(),
			}),
		},
	};
}

export const rmsnorm_f32_qb8 = norm("qb8");
export const rmsnorm_f32_qd8 = norm("qd8");
export const rmsnorm_f32_qs8 = norm("qs8");
export const swiglu_f32_qb8 = gated("qb8");
export const swiglu_f32_qd8 = gated("qd8");
export const swiglu_f32_qs8 = gated("qs8");
export const geglu_f32_qb8 = gated("qb8");
export const geglu_f32_qd8 = gated("qd8");
export const rmsnorm_f32_qk8 = norm("qk8", 512);
export const swiglu_f32_qk8 = gated("qk8", 256);
export const geglu_f32_qk8 = gated("qk8", 256);
