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

const tileBytes = (k: number) => 128 + 512 * Math.ceil(k / 32);
const matrixBytes = (n: number, k: number) => (padded(n) / 16) * tileBytes(k);

/** Offsets of what belongs to weight (j, c). */
function place(j: number, c: number, k: number) {
	const r = j % 16;
	const tile = Math.floor(j / 16) * tileBytes(k);
	const group = tile + 128 + 512 * Math.floor(c / 32);
	const four = Math.floor((c % 32) / 4);
	return {
		scale: tile + 4 * r,
		sum: tile + 64 + 4 * r,
		code: group + 256 * Math.floor(r / 8) + 32 * four + 4 * (r % 8) + (c % 4),
	};
}

/** The packed form of rows of int8 codes with a scale each. */
function pack(
	codes: Int8Array,
	scales: ArrayLike<number>,
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
		const { scale, sum } = place(j, 0, k);
		view.setFloat32(scale, scales[j]!, true);
		const row = codes.subarray(j * k, (j + 1) * k);
		view.setInt32(
			sum,
			row.reduce((total, q) => total + q, 0),
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

const qc8w: PlainLayout = {
	weight(memory, w, j, c, k) {
		const { scale, code } = place(j, c, k);
		return memory.f32(w + scale)[0]! * (memory.u8(w + code)[0]! - 128);
	},
	random: (o, n, k) => pack(randomCodes(o, n, k), o.gaussians(n, 0.002), k),
};

const sizes = [
	[32, 0],
	[7, 0],
	[67, 0],
	[1120, 0],
] as const;

export const gemm_f32_qc8w = quantizedGemm(plain, qc8w, sizes);
export const gemm_qd8_qc8w = quantizedGemm(qd8, qc8w, sizes);
export const embed_qc8w = quantizedEmbed(qc8w, 75);

type Pack = Extract<KernelName, `pack_qc8w_${string}`>;

function packing(
	store: (values: Float32Array) => Float32Array | Uint16Array,
	load: (memory: View, address: number, i: number) => number,
): Entry<Pack> {
	return {
		run({ dst, codes, scales, k }, lo, hi, memory) {
			const source = memory.i8(codes).subarray(0, (hi - lo) * k);
			const s = Array.from({ length: hi - lo }, (_, i) =>
				load(memory, scales, i),
			);
			memory.u8(dst).set(pack(source, s, k));
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
					n: n!,
					k: k!,
				}),
			]),
		),
	};
}

export const pack_qc8w_i8_f32 = packing(
	(values) => values,
	(memory, address, i) => memory.f32(address)[i]!,
);
export const pack_qc8w_i8_f16 = packing(
	(values) => Uint16Array.from(values, floatToHalf),
	(memory, address, i) => halfToFloat(memory.u16(address)[i]!),
);
export const pack_qc8w_i8_bf16 = packing(
	(values) => Uint16Array.from(values, floatToBrain),
	(memory, address, i) => brainToFloat(memory.u16(address)[i]!),
);
