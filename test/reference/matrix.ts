import type { KernelName } from "../../src/engine/kernels.ts";
import type { Format } from "../../src/engine/layouts.ts";
import { type Entry, exact, type Tolerance, type View } from "./entry.ts";
import { type Operands, viewOf } from "./operands.ts";
import { type Form, plain } from "./quantize.ts";

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
	"more rows than are kept at once": { rows: 300, n: 32, residual: true },
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

/** A matrix of so many columns, in blocks of so many, 0 for none; its format where the layout has several. */
export type Sizes = readonly [k: number, block: number, format?: Format];

/** A weight layout as plainly as its diagram says it. What is not told of a format, its kernels do not ask. */
export interface PlainLayout {
	/** Value of weight (j, c) of the matrix at w. */
	readonly weight: (
		memory: View,
		w: number,
		j: number,
		c: number,
		k: number,
		block: number,
		n: number,
		format: Format,
	) => number;
	/** Bytes of the tables behind a matrix [n, k]. */
	readonly tableBytes?: (n: number, k: number, block: number) => number;
	/** A random packed matrix [n, k], tables included. */
	readonly random: (
		o: Operands,
		n: number,
		k: number,
		block: number,
		format: Format,
	) => Uint8Array;
}

/** What a call says of the format, beside much else. */
const formatOf = (args: object = {}) => args as Format;

const described = ([k, block, format]: Sizes) =>
	[
		`${k} columns`,
		...(block ? [`in blocks of ${block}`] : []),
		...Object.entries(format ?? {}).map(([name, value]) => `${name} ${value}`),
	].join(" ");

/**
 * Integer sums are exact; what rounds is their product by scales and the sum of those products, a few per block of
 * columns, on results of about 1.
 */
export const integerTolerance: Tolerance = { absolute: 2e-5, relative: 1e-6 };

/** Rows of random quantized inputs whose products with weights of about 0.1 add up to about 1. */
export function quantizedInputs(
	o: Operands,
	form: Form,
	rows: number,
	k: number,
): number {
	const bytes = new Uint8Array(rows * form.rowBytes(k));
	const memory = viewOf(bytes.buffer);
	for (let t = 0; t < rows; t++) {
		const scales = o.gaussians(Math.ceil(k / 32), 0.01).map(Math.abs);
		form.write(memory, t * form.rowBytes(k), {
			codes: [...o.integers(k, form.hasZero ? -128 : -127, 127)],
			zero: form.hasZero ? o.integer(-128, 127) : 0,
			scale: (c) => scales[Math.floor(c / 32)]!,
		});
	}
	return o.put(bytes);
}

type QuantizedGemm = Extract<KernelName, `gemm_${string}_q${string}`>;

/** The entry of a matrix kernel with quantized weights, tried on several sizes. */
export function quantizedGemm(
	form: Form,
	layout: PlainLayout,
	sizes: readonly Sizes[],
): Entry<QuantizedGemm> {
	const operands = (
		o: Operands,
		call: MatrixCall,
		block: number,
		format?: Format,
	) => ({
		...matrixOperands(o, call),
		...formatOf(format),
		x: quantizedInputs(o, form, call.rows, call.k),
		w: o.put(layout.random(o, call.n, call.k, block, formatOf(format))),
		block,
		tableBytes: layout.tableBytes?.(call.n, call.k, block) ?? 0,
	});
	return {
		run(args, lo, hi, memory) {
			const { x, w, n, k, rows } = args;
			const block = "block" in args ? (args.block as number) : 0;
			const inputs = Array.from({ length: rows }, (_, t) =>
				form.read(memory, x + t * form.rowBytes(k), k),
			);
			const weights = Array.from({ length: hi - lo }, (_, i) =>
				Float64Array.from({ length: k }, (_, c) =>
					layout.weight(memory, w, lo + i, c, k, block, n, formatOf(args)),
				),
			);
			matrixProduct(args, lo, hi, memory, (t, j) => {
				const [input, row] = [inputs[t]!, weights[j - lo]!];
				let total = 0;
				for (let c = 0; c < k; c++) total += input[c]! * row[c]!;
				return total;
			});
		},
		units: ({ n }) => n,
		grain: 16,
		tolerance: integerTolerance,
		cases: Object.fromEntries(
			sizes.flatMap((size, i) => {
				// Every call on the first size; the others vary what happens along a row.
				const calls = Object.entries(matrixCalls).filter(
					([, { n }]) => i === 0 || n % 16 !== 0,
				);
				if (i === sizes.length - 1 && form !== plain)
					calls.push(["more tiles than share inputs", { rows: 160, n: 144 }]);
				const [k, block, format] = size;
				return calls.map(([name, call]) => [
					`${name}, ${described(size)}`,
					(o: Operands) => operands(o, { ...call, k }, block, format),
				]);
			}),
		),
	};
}

type Embed = Extract<KernelName, `embed_${string}`>;

/** The entry of the lookup in a quantized table. */
export function quantizedEmbed(
	layout: PlainLayout,
	d: number,
	block = 0,
	format?: Format,
): Entry<Embed> {
	const n = 39;
	return {
		run(args, lo, hi, memory) {
			const { y, tokens, w, scale } = args;
			const [Y, ids] = [memory.f32(y), memory.i32(tokens)];
			for (let t = lo; t < hi; t++)
				for (let c = 0; c < d; c++)
					Y[t * d + c] =
						scale *
						Math.fround(
							layout.weight(memory, w, ids[t]!, c, d, block, n, formatOf(args)),
						);
		},
		units: (_, elements) => elements / d,
		grain: 1,
		tolerance: exact,
		cases: {
			"seven tokens": (o) => ({
				y: o.output("f32", 7 * d),
				tokens: o.i32([0, 31, 4, 11, 11, 24, 38]),
				w: o.put(layout.random(o, n, d, block, formatOf(format))),
				...formatOf(format),
				d,
				n,
				block,
				scale: 1.5,
			}),
		},
	};
}
