import type { KernelName } from "../../src/engine/kernels.ts";
import { type Entry, exact, type View } from "./entry.ts";
import {
	brainToFloat,
	floatToBrain,
	floatToHalf,
	halfToFloat,
} from "./half.ts";
import {
	type PlainLayout,
	padded,
	quantizedEmbed,
	quantizedGemm,
	WHOLE,
} from "./matrix.ts";
import type { Operands } from "./operands.ts";
import { plain, qd8 } from "./quantize.ts";

const tileBytes = (k: number) => 144 + 512 * Math.ceil(k / 32);
const matrixBytes = (n: number, k: number) => (padded(n) / 16) * tileBytes(k);

/** Offsets of what belongs to weight (j, c). */
function place(j: number, c: number, k: number) {
	const r = j % 16;
	const tile = Math.floor(j / 16) * tileBytes(k);
	const group = tile + 144 + 512 * Math.floor(c / 32);
	const four = Math.floor((c % 32) / 4);
	return {
		scale: tile + 4 * r,
		sum: tile + 64 + 4 * r,
		zero: tile + 128 + r,
		code: group + 256 * Math.floor(r / 8) + 32 * four + 4 * (r % 8) + (c % 4),
	};
}

/** The packed form of rows of int8 codes with a scale and a zero point each. */
function pack(
	codes: Int8Array,
	scales: ArrayLike<number>,
	zeros: Int8Array | undefined,
	k: number,
): Uint8Array {
	const n = scales.length;
	const bytes = new Uint8Array(matrixBytes(n, k));
	const view = new DataView(bytes.buffer);
	for (let j = 0; j < padded(n); j++) {
		for (let c = 0; c < 32 * Math.ceil(k / 32); c++)
			bytes[place(j, c, k).code] =
				128 + (j < n && c < k ? codes[j * k + c]! : 0);
		if (j >= n) continue;
		const { scale, sum, zero } = place(j, 0, k);
		const z = zeros?.[j] ?? 0;
		view.setFloat32(scale, scales[j]!, true);
		view.setInt8(zero, z);
		const row = codes.subarray(j * k, (j + 1) * k);
		view.setInt32(
			sum,
			row.reduce((total, q) => total + q - z, 0),
			true,
		);
	}
	return bytes;
}

/** Random int8, some rows of them −128 throughout. */
function randomCodes(o: Operands, n: number, k: number): Int8Array {
	return Int8Array.from({ length: n * k }, (_, i) =>
		Math.floor(i / k) % 5 === 2 ? -128 : o.integer(-128, 127),
	);
}

/** Random int8, the ends of their range among them. */
const randomZeros = (o: Operands, n: number): Int8Array =>
	Int8Array.from({ length: n }, (_, j) =>
		j % 7 === 0 ? -128 : j % 7 === 1 ? 127 : o.integer(-128, 127),
	);

const layout = (hasZeros: boolean): PlainLayout => ({
	weight(memory, w, j, c, k) {
		const { scale, code, zero } = place(j, c, k);
		const z = memory.i8(w + zero)[0]!;
		return memory.f32(w + scale)[0]! * (memory.u8(w + code)[0]! - 128 - z);
	},
	random: (o, n, k) =>
		pack(
			randomCodes(o, n, k),
			o.gaussians(n, 0.002),
			hasZeros ? randomZeros(o, n) : undefined,
			k,
		),
});

const sizes = [
	[32, 0],
	[7, 0],
	[67, 0],
	[1120, 0],
] as const;

export const gemm_f32_qc8w = quantizedGemm(plain, layout(false), sizes);
export const gemm_f32_qc8zw = quantizedGemm(plain, layout(true), sizes);
export const gemm_qd8_qc8w = quantizedGemm(qd8, layout(true), sizes);
export const embed_qc8w = quantizedEmbed(layout(true), 75);

interface ScaleType {
	readonly store: (values: Float32Array) => Float32Array | Uint16Array;
	readonly load: (memory: View, address: number, i: number) => number;
}

const float: ScaleType = {
	store: (values) => values,
	load: (memory, address, i) => memory.f32(address)[i]!,
};
const half: ScaleType = {
	store: (values) => Uint16Array.from(values, floatToHalf),
	load: (memory, address, i) => halfToFloat(memory.u16(address)[i]!),
};
const brain: ScaleType = {
	store: (values) => Uint16Array.from(values, floatToBrain),
	load: (memory, address, i) => brainToFloat(memory.u16(address)[i]!),
};

type Pack = Extract<KernelName, `pack_qc8w_${string}`>;
type PackZeros = Extract<KernelName, `pack_qc8zw_${string}`>;

function packing<K extends Pack | PackZeros>(
	{ store, load }: ScaleType,
	hasZeros: boolean,
): Entry<K> {
	const entry: Entry<PackZeros> = {
		run({ dst, codes, scales, zeros, k }, lo, hi, memory) {
			const source = memory.i8(codes).subarray(0, (hi - lo) * k);
			const s = Array.from({ length: hi - lo }, (_, i) =>
				load(memory, scales, i),
			);
			const points = hasZeros ? memory.i8(zeros) : undefined;
			memory.u8(dst).set(pack(source, s, points, k));
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			[
				[37, 53],
				[32, 64],
				[16, 80],
			].map(([n, k]) => [
				`${n} rows of ${k}`,
				(o: Operands) => ({
					dst: o.output("bytes", matrixBytes(n!, k!)),
					codes: o.put(randomCodes(o, n!, k!)),
					scales: o.put(store(o.gaussians(n!, 0.002))),
					zeros: hasZeros ? o.put(randomZeros(o, n!)) : 0,
					n: n!,
					k: k!,
				}),
			]),
		),
	};
	return entry as unknown as Entry<K>;
}

export const pack_qc8w_i8_f32 = packing<Pack>(float, false);
export const pack_qc8w_i8_f16 = packing<Pack>(half, false);
export const pack_qc8w_i8_bf16 = packing<Pack>(brain, false);
export const pack_qc8zw_i8_f32 = packing<PackZeros>(float, true);
export const pack_qc8zw_i8_f16 = packing<PackZeros>(half, true);
export const pack_qc8zw_i8_bf16 = packing<PackZeros>(brain, true);
