import type { KernelName } from "../../src/engine/kernels.ts";
import { type Entry, exact, type Tolerance, type View } from "./entry.ts";
import {
	brainToFloat,
	floatToBrain,
	floatToHalf,
	halfToFloat,
} from "./half.ts";
import {
	type MatrixCall,
	matrixCalls,
	matrixOperands,
	matrixProduct,
	padded,
	pairedPlace,
	sum,
	WHOLE,
} from "./matrix.ts";
import type { Operands } from "./operands.ts";

/** An element type: how it is kept and where a tile keeps it. */
interface Float {
	readonly bytes: 2 | 4;
	/** Position among the 16 elements of a column. */
	readonly place: (row: number) => number;
	readonly encode: (values: Float32Array) => Float32Array | Uint16Array;
	readonly element: (memory: View, address: number, i: number) => number;
}

const f32: Float = {
	bytes: 4,
	place: (row) => row,
	encode: (values) => values,
	element: (memory, address, i) => memory.f32(address)[i]!,
};
const f16: Float = {
	bytes: 2,
	place: pairedPlace,
	encode: (values) => Uint16Array.from(values, floatToHalf),
	element: (memory, address, i) => halfToFloat(memory.u16(address)[i]!),
};
const bf16: Float = {
	bytes: 2,
	place: pairedPlace,
	encode: (values) => Uint16Array.from(values, floatToBrain),
	element: (memory, address, i) => brainToFloat(memory.u16(address)[i]!),
};

/** Index of element (j, c) of a packed matrix of k columns. */
const index = ({ place }: Float, j: number, c: number, k: number) =>
	(Math.floor(j / 16) * k + c) * 16 + place(j % 16);

/** Up to 600 products of size 0.05, added one after the other in f32. */
const tolerance: Tolerance = { absolute: 3e-6, relative: 1e-6 };

type Gemm = Extract<KernelName, `gemm_f32_${"f32" | "f16" | "bf16"}w`>;
type Embed = Extract<KernelName, `embed_${"f32" | "f16" | "bf16"}w`>;
type Pack = Extract<KernelName, `pack_${"f32" | "f16" | "bf16"}w_${string}`>;

/** Weights about 0.05, some of them so small that they are denormal in f16. */
function weights(o: Operands, float: Float, n: number, k: number): number {
	const values = o.gaussians(padded(n) * k, 0.05);
	for (let i = 0; i < values.length; i += 7) values[i]! *= 2 ** -12;
	return o.put(float.encode(values));
}

function gemm(float: Float): Entry<Gemm> {
	const operands = (o: Operands, call: MatrixCall) => ({
		...matrixOperands(o, call),
		x: o.normal(call.rows * call.k),
		w: weights(o, float, call.n, call.k),
	});
	return {
		run(args, lo, hi, memory) {
			const { k } = args;
			const x = memory.f32(args.x);
			matrixProduct(args, lo, hi, memory, (t, j) =>
				sum(
					k,
					(c) =>
						x[t * k + c]! *
						float.element(memory, args.w, index(float, j, c, k)),
				),
			);
		},
		units: ({ n }) => n,
		grain: 16,
		tolerance,
		cases: {
			...Object.fromEntries(
				Object.entries(matrixCalls).map(([name, call]) => [
					name,
					(o: Operands) => operands(o, { ...call, k: 67 }),
				]),
			),
			"one column": (o) => operands(o, { rows: 3, n: 20, k: 1 }),
			"600 columns": (o) => operands(o, { rows: 7, n: 16, k: 600 }),
		},
	};
}

function embed(float: Float): Entry<Embed> {
	return {
		run({ y, tokens, w, d, scale }, lo, hi, memory) {
			const [Y, ids] = [memory.f32(y), memory.i32(tokens)];
			for (let t = lo; t < hi; t++)
				for (let c = 0; c < d; c++)
					Y[t * d + c] =
						scale * float.element(memory, w, index(float, ids[t]!, c, d));
		},
		units: ({ d }, elements) => elements / d,
		grain: 1,
		tolerance: exact,
		cases: {
			"seven tokens": (o) => ({
				y: o.output("f32", 7 * 45),
				tokens: o.i32([0, 31, 4, 11, 11, 24, 38]),
				w: weights(o, float, 39, 45),
				d: 45,
				scale: 1.5,
			}),
		},
	};
}

function pack(float: Float): Entry<Pack> {
	const operands = (o: Operands, n: number, k: number) => ({
		dst: o.output("bytes", padded(n) * k * float.bytes),
		src: o.put(float.encode(o.gaussians(n * k))),
		n,
		k,
	});
	return {
		run({ dst, src, n, k }, lo, hi, memory) {
			const view = float.bytes === 4 ? memory.i32 : memory.u16;
			const [to, from] = [view(dst), view(src)];
			for (let j = lo; j < padded(hi); j++)
				for (let c = 0; c < k; c++)
					to[index(float, j, c, k)] = j < n ? from[(j - lo) * k + c]! : 0;
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: {
			"odd n and k": (o) => operands(o, 37, 53),
			"whole tiles": (o) => operands(o, 32, 64),
		},
	};
}

export const gemm_f32_f32w = gemm(f32);
export const gemm_f32_f16w = gemm(f16);
export const gemm_f32_bf16w = gemm(bf16);
export const embed_f32w = embed(f32);
export const embed_f16w = embed(f16);
export const embed_bf16w = embed(bf16);
export const pack_f32w_f32 = pack(f32);
export const pack_f16w_f16 = pack(f16);
export const pack_bf16w_bf16 = pack(bf16);
