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
	quantizedEmbed,
	quantizedGemm,
	WHOLE,
} from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";
import { plain, qb8, qd8 } from "./quantize.ts";

const blockBytes = (block: number) => 80 + 8 * block;
const tileBytes = (k: number, block: number) =>
	64 + (k / block) * blockBytes(block);
const matrixBytes = (n: number, k: number, block: number) =>
	Math.ceil(n / 16) * tileBytes(k, block);

/** Addresses of what belongs to weight (j, c), and the code's shift in its byte. */
function place(w: number, j: number, c: number, k: number, block: number) {
	const r = j % 16;
	const tile = w + Math.floor(j / 16) * tileBytes(k, block);
	const start = tile + 64 + Math.floor(c / block) * blockBytes(block);
	const group = start + 80 + 256 * Math.floor((c % block) / 32);
	const four = Math.floor((c % 16) / 4);
	return {
		sum: tile + 4 * r,
		scale: start + 4 * r,
		zero: start + 64 + r,
		code: group + 128 * Math.floor(r / 8) + 32 * four + 4 * (r % 8) + (c % 4),
		shift: c % 32 < 16 ? 0 : 4,
	};
}

/** Codes and zero points −8 … 7, and scales; those of a block of a row belong together. */
interface Matrix {
	readonly k: number;
	readonly block: number;
	readonly code: (j: number, c: number) => number;
	readonly scale: (j: number, block: number) => number;
	readonly zero: (j: number, block: number) => number;
}

function randomMatrix(
	o: Operands,
	n: number,
	k: number,
	block: number,
): Matrix {
	const codes = o.integers(n * k, -8, 7);
	const zeros = o.integers((n * k) / block, -8, 7);
	const scales = o.gaussians((n * k) / block, 0.02);
	return {
		k,
		block,
		code: (j, c) => codes[j * k + c]!,
		scale: (j, b) => scales[(j * k) / block + b]!,
		zero: (j, b) => zeros[(j * k) / block + b]!,
	};
}

/** Writes rows [0, hi) of a matrix; rows up to a whole tile are zeros. */
function pack(memory: View, dst: number, matrix: Matrix, hi: number) {
	const { k, block, code, scale, zero } = matrix;
	memory.u8(dst).fill(0, 0, matrixBytes(hi, k, block));
	for (let j = 0; j < hi; j++) {
		let sum = 0;
		for (let b = 0; b < k / block; b++) {
			const at = place(dst, j, b * block, k, block);
			const z = zero(j, b);
			memory.f32(at.scale)[0] = scale(j, b);
			memory.u8(at.zero)[0] = z + 8;
			let total = 0;
			for (let c = b * block; c < (b + 1) * block; c++) {
				const { code: address, shift } = place(dst, j, c, k, block);
				memory.u8(address)[0]! |= (code(j, c) + 8) << shift;
				total += code(j, c) - z;
			}
			const product = Math.fround(total * memory.f32(at.scale)[0]!);
			sum = Math.fround(sum + product);
		}
		memory.f32(place(dst, j, 0, k, block).sum)[0] = sum;
	}
}

const layout: PlainLayout = {
	weight(memory, w, j, c, k, block) {
		const { scale, zero, code, shift } = place(w, j, c, k, block);
		const q = (memory.u8(code)[0]! >> shift) & 15;
		return memory.f32(scale)[0]! * (q - memory.u8(zero)[0]!);
	},
	random(o, n, k, block) {
		const bytes = new Uint8Array(matrixBytes(n, k, block));
		pack(viewOf(bytes.buffer), 0, randomMatrix(o, n, k, block), n);
		return bytes;
	},
};

const sizes = [
	[32, 32],
	[192, 64],
	[384, 128],
	[1120, 1120],
] as const;

export const gemm_f32_qb4zw_f32 = quantizedGemm(plain, layout, sizes);
export const gemm_qb8_qb4zw_f32 = quantizedGemm(qb8, layout, sizes);
export const gemm_qd8_qb4zw_f32 = quantizedGemm(qd8, layout, sizes);
export const embed_qb4zw_f32 = quantizedEmbed(layout, 192, 64);

/** How a file keeps numbers of one kind. */
interface Stored {
	/** Bytes per number. */
	readonly bytes: number;
	readonly read: (memory: View, plane: number, i: number) => number;
	readonly write: (memory: View, plane: number, i: number, x: number) => void;
}

const float: Stored = {
	bytes: 4,
	read: (memory, plane, i) => memory.f32(plane)[i]!,
	write: (memory, plane, i, x) => {
		memory.f32(plane)[i] = x;
	},
};
const half: Stored = {
	bytes: 2,
	read: (memory, plane, i) => halfToFloat(memory.u16(plane)[i]!),
	write: (memory, plane, i, x) => {
		memory.u16(plane)[i] = floatToHalf(x);
	},
};
const brain: Stored = {
	bytes: 2,
	read: (memory, plane, i) => brainToFloat(memory.u16(plane)[i]!),
	write: (memory, plane, i, x) => {
		memory.u16(plane)[i] = floatToBrain(x);
	},
};
const i8: Stored = {
	bytes: 1,
	read: (memory, plane, i) => memory.i8(plane)[i]!,
	write: (memory, plane, i, x) => {
		memory.i8(plane)[i] = x;
	},
};
const packed: Stored = {
	bytes: 0.5,
	read: (memory, plane, i) =>
		((memory.u8(plane)[i >> 1]! >> (4 * (i & 1))) & 15) - 8,
	write: (memory, plane, i, x) => {
		memory.u8(plane)[i >> 1]! |= (x + 8) << (4 * (i & 1));
	},
};

type Pack = Extract<KernelName, `pack_qb4zw_${string}`>;

function packing(code: Stored, scale: Stored): Entry<Pack> {
	return {
		run({ dst, codes, scales, zeros, k, block }, _lo, hi, memory) {
			const perRow = k / block;
			const matrix = {
				k,
				block,
				code: (j: number, c: number) => code.read(memory, codes, j * k + c),
				scale: (j: number, b: number) =>
					scale.read(memory, scales, j * perRow + b),
				zero: (j: number, b: number) => i8.read(memory, zeros, j * perRow + b),
			};
			pack(memory, dst, matrix, hi);
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			(
				[
					[37, 64, 32],
					[32, 256, 128],
					[16, 96, 96],
				] as const
			).map(([n, k, block]) => [
				`${n} rows, blocks of ${block}`,
				(o: Operands) => {
					const matrix = randomMatrix(o, n, k, block);
					const perRow = k / block;
					const plane = (
						{ bytes, write }: Stored,
						cols: number,
						value: (j: number, c: number) => number,
					) => {
						const data = new Uint8Array(n * cols * bytes);
						const memory = viewOf(data.buffer);
						for (let j = 0; j < n; j++)
							for (let c = 0; c < cols; c++)
								write(memory, 0, j * cols + c, value(j, c));
						return o.put(data);
					};
					return {
						dst: o.output("bytes", matrixBytes(n, k, block)),
						codes: plane(code, k, matrix.code),
						scales: plane(scale, perRow, matrix.scale),
						zeros: plane(i8, perRow, matrix.zero),
						n,
						k,
						block,
					};
				},
			]),
		),
	};
}

export const pack_qb4zw_f32_i8_bf16 = packing(i8, brain);
export const pack_qb4zw_f32_i8_f16 = packing(i8, half);
export const pack_qb4zw_f32_i8_f32 = packing(i8, float);
export const pack_qb4zw_f32_packed_bf16 = packing(packed, brain);
export const pack_qb4zw_f32_packed_f16 = packing(packed, half);
export const pack_qb4zw_f32_packed_f32 = packing(packed, float);
