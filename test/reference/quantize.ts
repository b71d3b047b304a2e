import type { KernelName } from "../../src/engine/kernels.ts";
import { activations } from "../../src/engine/layouts.ts";
import { type Entry, exact, type View } from "./entry.ts";
import { floatToHalf, halfToFloat } from "./half.ts";
import type { Operands } from "./operands.ts";

const GROUP = 32;
const f32 = Math.fround;

/** A row of quantized inputs as plain numbers: x[c] ≈ scale(c) · (codes[c] − zero). */
export interface QuantizedRow {
	readonly codes: readonly number[];
	readonly zero: number;
	readonly scale: (c: number) => number;
}

export interface Form {
	readonly rowBytes: (k: number) => number;
	/** Whether a row has a zero point of its own. */
	readonly hasZero: boolean;
	/** Values of the row at `address`. */
	readonly read: (memory: View, address: number, k: number) => Float64Array;
	/** Writes a row, its sums included. */
	readonly write: (memory: View, address: number, row: QuantizedRow) => void;
}

function writeGroup(memory: View, address: number, codes: readonly number[]) {
	const all = Array.from({ length: GROUP }, (_, c) => codes[c] ?? 0);
	memory.i8(address + 4).set(all);
	const sum = (parity: number) =>
		all.reduce((total, q, c) => total + ((c & 2) / 2 === parity ? q : 0), 0);
	memory.u16(address).set([sum(0), sum(1)]);
}

/** Not quantized. */
export const plain: Form = {
	rowBytes: activations.f32.rowBytes,
	hasZero: false,
	read: (memory, address, k) =>
		Float64Array.from(memory.f32(address).subarray(0, k)),
	write: (memory, address, { codes, scale }) => {
		memory.f32(address).set(codes.map((q, c) => scale(c) * q));
	},
};

export const qb8: Form = {
	rowBytes: activations.qb8.rowBytes,
	hasZero: false,
	read: (memory, address, k) => {
		const values = new Float64Array(k);
		for (let c = 0; c < k; c += GROUP, address += 40) {
			const codes = memory.i8(address + 4);
			const d = memory.f32(address + 36)[0]!;
			for (let i = 0; i < GROUP; i++) values[c + i] = d * codes[i]!;
		}
		return values;
	},
	write: (memory, address, { codes, scale }) => {
		for (let c = 0; c < codes.length; c += GROUP, address += 40) {
			writeGroup(memory, address, codes.slice(c, c + GROUP));
			memory.f32(address + 36)[0] = halfToFloat(floatToHalf(scale(c)));
		}
	},
};

export const qd8: Form = {
	rowBytes: activations.qd8.rowBytes,
	hasZero: true,
	read: (memory, address, k) => {
		const scale = memory.f32(address)[0]!;
		const zero = memory.i32(address + 4)[0]!;
		const codes = memory.i8(address + 16);
		const at = (c: number) => 36 * Math.floor(c / GROUP) + 4 + (c % GROUP);
		return Float64Array.from(
			{ length: k },
			(_, c) => scale * (codes[at(c)]! - zero),
		);
	},
	write: (memory, address, { codes, scale, zero }) => {
		memory.f32(address).set([scale(0), 0, 0, 0]);
		const sum = codes.reduce((total, q) => total + q, 0);
		memory.i32(address + 4).set([zero, sum]);
		for (let c = 0, at = address + 16; c < codes.length; c += GROUP, at += 36)
			writeGroup(memory, at, codes.slice(c, c + GROUP));
	},
};

const clamp = (q: number, low = -128) => Math.min(Math.max(q, low), 127);

function roundHalfAway(x: number): number {
	return Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
}

export function roundHalfEven(x: number): number {
	const up = Math.floor(x + 0.5);
	return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/** d = max |x| / 127 of each group, rounded to f16 after the codes are chosen. */
function blocks(x: Float32Array): QuantizedRow {
	const groups = Array.from({ length: x.length / GROUP }, (_, g) =>
		x.subarray(g * GROUP, (g + 1) * GROUP),
	);
	const d = groups.map((group) =>
		f32(Math.max(...group.map((v) => Math.abs(v))) / 127),
	);
	const inverse = d.map((d) => (d > 0 ? f32(1 / d) : 0));
	return {
		codes: [...x].map((v, c) =>
			roundHalfAway(f32(v * inverse[Math.floor(c / GROUP)]!)),
		),
		zero: 0,
		scale: (c) => halfToFloat(floatToHalf(d[Math.floor(c / GROUP)]!)),
	};
}

function asymmetric(x: Float32Array): QuantizedRow {
	const least = Math.min(...x, 0);
	const most = Math.max(...x, 0);
	const s = Math.max(f32(f32(most - least) / 255), 2 ** -23);
	const zero = clamp(-128 - roundHalfEven(f32(least / s)));
	const inverse = f32(1 / s);
	return {
		codes: [...x].map((v) => clamp(roundHalfEven(f32(v * inverse)) + zero)),
		zero,
		scale: () => s,
	};
}

function symmetric(x: Float32Array): QuantizedRow {
	const most = Math.max(...x.map((v) => Math.abs(v)));
	const s = Math.max(f32(most / 127.5), 2 ** -23);
	return {
		codes: [...x].map((v) => roundHalfEven(Math.min(f32(v / s), 127))),
		zero: 0,
		scale: () => s,
	};
}

type Quantize = Extract<KernelName, `quantize_f32_${string}`>;

/** The entry of a kernel that quantizes rows, tried on `ks` columns. */
export function quantizing(
	form: Form,
	quantize: (x: Float32Array) => QuantizedRow,
	ks: readonly number[],
): Entry<Quantize> {
	const inputs: Record<
		string,
		(o: Operands, count: number) => ArrayLike<number>
	> = {
		normal: (o, count) => o.gaussians(count, 3),
		"positive and halfway": (o, count) =>
			o.integers(count, 0, 254).map((v) => v / 2),
		zeros: (_, count) => new Float32Array(count),
		tiny: (o, count) => o.gaussians(count, 1e-7),
	};
	return {
		run({ y, x, k }, lo, hi, memory) {
			for (let t = lo; t < hi; t++)
				form.write(
					memory,
					y + t * form.rowBytes(k),
					quantize(memory.f32(x).slice(t * k, (t + 1) * k)),
				);
		},
		units: ({ k }, bytes) => bytes / form.rowBytes(k),
		grain: 1,
		tolerance: exact,
		cases: Object.fromEntries(
			Object.entries(inputs).flatMap(([name, values]) =>
				ks.map((k) => [
					`${name}, ${k} columns`,
					(o: Operands) => ({
						y: o.output("bytes", 5 * form.rowBytes(k)),
						x: o.f32(values(o, 5 * k)),
						k,
					}),
				]),
			),
		),
	};
}

export const quantize_f32_qb8 = quantizing(qb8, blocks, [32, 160]);
export const quantize_f32_qd8 = quantizing(qd8, asymmetric, [7, 32, 165]);
/** With the scale and the zero point that a call gives. */
export const quantize_static_f32_qd8: Entry<"quantize_static_f32_qd8"> = {
	run({ y, x, k, s, z }, lo, hi, memory) {
		for (let t = lo; t < hi; t++) {
			const row = memory.f32(x).slice(t * k, (t + 1) * k);
			qd8.write(memory, y + t * qd8.rowBytes(k), {
				codes: [...row].map((v) =>
					roundHalfEven(clamp(f32(f32(v / f32(s)) + z))),
				),
				zero: z,
				scale: () => s,
			});
		}
	},
	units: ({ k }, bytes) => bytes / qd8.rowBytes(k),
	grain: 1,
	tolerance: exact,
	cases: Object.fromEntries(
		[
			[7, 0.5, 0],
			[32, 0.0123, -128],
			[165, 0.25, 37],
			[96, 1e-20, 5],
		].map(([k, s, z]) => [
			`${k} columns, scale ${s}, zero point ${z}`,
			(o: Operands) => ({
				y: o.output("bytes", 5 * qd8.rowBytes(k!)),
				// Multiples of an eighth fall on halves of some scales.
				x: o.f32([...o.integers(5 * k!, -300, 300)].map((v) => v / 8)),
				k: k!,
				s: s!,
				z: z!,
			}),
		]),
	),
};

export const quantize_f32_qs8 = quantizing(qd8, symmetric, [7, 32, 165]);
