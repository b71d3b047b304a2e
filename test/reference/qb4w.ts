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
	pairedPlace,
	quantizedEmbed,
	quantizedGemm,
	WHOLE,
} from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";
import { plain, qb8, qd8 } from "./quantize.ts";

/** A type of scale: how it is stored, and where a tile keeps that of row r. */
interface ScaleType {
	readonly bytes: 2 | 4;
	readonly place: (r: number) => number;
	readonly read: (memory: View, address: number) => number;
	readonly write: (memory: View, address: number, value: number) => void;
}

const half: ScaleType = {
	bytes: 2,
	place: pairedPlace,
	read: (memory, address) => halfToFloat(memory.u16(address)[0]!),
	write: (memory, address, value) => {
		memory.u16(address)[0] = floatToHalf(value);
	},
};
const brain: ScaleType = {
	bytes: 2,
	place: pairedPlace,
	read: (memory, address) => brainToFloat(memory.u16(address)[0]!),
	write: (memory, address, value) => {
		memory.u16(address)[0] = floatToBrain(value);
	},
};
const float: ScaleType = {
	bytes: 4,
	place: (r) => r,
	read: (memory, address) => memory.f32(address)[0]!,
	write: (memory, address, value) => {
		memory.f32(address)[0] = value;
	},
};

const blockBytes = ({ bytes }: ScaleType, block: number) =>
	16 * bytes + 8 * block;
const tileBytes = (type: ScaleType, k: number, block: number) =>
	64 + (k / block) * blockBytes(type, block);
const matrixBytes = (type: ScaleType, n: number, k: number, block: number) =>
	Math.ceil(n / 16) * tileBytes(type, k, block);

/** Addresses of the scale and the code of weight (j, c), and the code's shift in its byte. */
function place(
	type: ScaleType,
	w: number,
	j: number,
	c: number,
	k: number,
	block: number,
) {
	const r = j % 16;
	const tile = w + Math.floor(j / 16) * tileBytes(type, k, block);
	const scales = tile + 64 + Math.floor(c / block) * blockBytes(type, block);
	const group = scales + 16 * type.bytes + 256 * Math.floor((c % block) / 32);
	const column = c % 16;
	const four = Math.floor(column / 4);
	return {
		scale: scales + type.bytes * type.place(r),
		code:
			group + 128 * Math.floor(r / 8) + 32 * four + 4 * (r % 8) + (column % 4),
		shift: c % 32 < 16 ? 0 : 4,
	};
}

/** A symmetric 4-bit matrix: codes −8 … 7, and a scale per block of a row. */
interface Matrix {
	readonly n: number;
	readonly k: number;
	readonly block: number;
	readonly code: (j: number, c: number) => number;
	readonly scale: (j: number, block: number) => number;
}

function randomMatrix(
	o: Operands,
	n: number,
	k: number,
	block: number,
): Matrix {
	const codes = o.integers(n * k, -8, 7);
	const scales = o.gaussians((n * k) / block, 0.02);
	return {
		n,
		k,
		block,
		code: (j, c) => codes[j * k + c]!,
		scale: (j, b) => scales[(j * k) / block + b]!,
	};
}

/** Writes rows [0, hi) of a matrix; rows up to a whole tile are zeros. */
function pack(
	type: ScaleType,
	memory: View,
	dst: number,
	matrix: Matrix,
	hi: number,
) {
	const { k, block, code, scale } = matrix;
	memory.u8(dst).fill(0, 0, matrixBytes(type, hi, k, block));
	for (let j = 0; j < hi; j++)
		for (let c = 0; c < k; c++) {
			const at = place(type, dst, j, c, k, block);
			type.write(memory, at.scale, scale(j, Math.floor(c / block)));
			memory.u8(at.code)[0]! |= (code(j, c) + 8) << at.shift;
		}
	for (let j = 0; j < Math.ceil(hi / 16) * 16; j++) {
		let sum = 0;
		for (let b = 0; b < k / block; b++) {
			let codes = 0;
			for (let c = 0; c < block && j < hi; c++) codes += code(j, b * block + c);
			const s = type.read(
				memory,
				place(type, dst, j, b * block, k, block).scale,
			);
			sum = Math.fround(sum + Math.fround((j < hi ? codes : -8 * block) * s));
		}
		const tile = Math.floor(j / 16) * tileBytes(type, k, block);
		memory.f32(dst + tile)[j % 16] = sum;
	}
}

const layout = (type: ScaleType): PlainLayout => ({
	weight(memory, w, j, c, k, block) {
		const { scale, code, shift } = place(type, w, j, c, k, block);
		return (
			type.read(memory, scale) * (((memory.u8(code)[0]! >> shift) & 15) - 8)
		);
	},
	random(o, n, k, block) {
		const bytes = new Uint8Array(matrixBytes(type, n, k, block));
		pack(type, viewOf(bytes.buffer), 0, randomMatrix(o, n, k, block), n);
		return bytes;
	},
});

const sizes = [
	[32, 32],
	[192, 64],
	[384, 128],
	[1120, 1120],
] as const;

export const gemm_f32_qb4w_f16 = quantizedGemm(plain, layout(half), sizes);
export const gemm_f32_qb4w_bf16 = quantizedGemm(plain, layout(brain), sizes);
export const gemm_f32_qb4w_f32 = quantizedGemm(plain, layout(float), sizes);
export const gemm_qb8_qb4w_f16 = quantizedGemm(qb8, layout(half), sizes);
export const gemm_qb8_qb4w_bf16 = quantizedGemm(qb8, layout(brain), sizes);
export const gemm_qd8_qb4w_f16 = quantizedGemm(qd8, layout(half), sizes);
export const gemm_qd8_qb4w_bf16 = quantizedGemm(qd8, layout(brain), sizes);
export const gemm_qd8_qb4w_f32 = quantizedGemm(qd8, layout(float), sizes);

export const embed_qb4w_f16 = quantizedEmbed(layout(half), 96, 32);
export const embed_qb4w_bf16 = quantizedEmbed(layout(brain), 192, 64);
export const embed_qb4w_f32 = quantizedEmbed(layout(float), 256, 128);

/** Q4_0: blocks of an f16 scale and 16 bytes, columns c and c + 16 in one. */
export const pack_qb4w_f16_q4_0: Entry<"pack_qb4w_f16_q4_0"> = {
	run({ dst, src, n, k }, _lo, hi, memory) {
		const block = (j: number, b: number) => src + ((j * k) / 32 + b) * 18;
		pack(
			half,
			memory,
			dst,
			{
				n,
				k,
				block: 32,
				scale: (j, b) => half.read(memory, block(j, b)),
				code: (j, c) => {
					const bytes = memory.u8(block(j, Math.floor(c / 32)) + 2);
					return ((bytes[c % 16]! >> (c % 32 < 16 ? 0 : 4)) & 15) - 8;
				},
			},
			hi,
		);
	},
	units: ({ n }) => n,
	grain: WHOLE,
	tolerance: exact,
	cases: Object.fromEntries(
		[
			[37, 64],
			[32, 96],
		].map(([n, k]) => [
			`${n} rows`,
			(o: Operands) => {
				const { scale, code } = randomMatrix(o, n!, k!, 32);
				const bytes = new Uint8Array((n! * k! * 18) / 32);
				const memory = viewOf(bytes.buffer);
				for (let j = 0, at = 0; j < n!; j++)
					for (let b = 0; b < k! / 32; b++, at += 18) {
						half.write(memory, at, scale(j, b));
						for (let c = 0; c < 32; c++)
							bytes[at + 2 + (c % 16)]! |=
								(code(j, 32 * b + c) + 8) << (c < 16 ? 0 : 4);
					}
				return {
					dst: o.output("bytes", matrixBytes(half, n!, k!, 32)),
					src: o.put(bytes),
					n: n!,
					k: k!,
				};
			},
		]),
	),
};

type PackPlanes = Extract<KernelName, `pack_qb4w_${string}_${"i8" | "packed"}`>;

/** Codes in a plane of their own, written and read by `put` and `get`, and scales in another. */
function planes(
	type: ScaleType,
	codeBytes: 0.5 | 1,
	put: (codes: Uint8Array, i: number, code: number) => void,
	get: (codes: Uint8Array, i: number) => number,
): Entry<PackPlanes> {
	return {
		run({ dst, codes, scales, n, k, block }, _lo, hi, memory) {
			const plane = memory.u8(codes);
			const matrix = {
				n,
				k,
				block,
				code: (j: number, c: number) => get(plane, j * k + c),
				scale: (j: number, b: number) =>
					type.read(memory, scales + type.bytes * ((j * k) / block + b)),
			};
			pack(type, memory, dst, matrix, hi);
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			[
				[37, 64, 32],
				[32, 256, 128],
				[16, 96, 96],
			].map(([n, k, block]) => [
				`${n} rows, blocks of ${block}`,
				(o: Operands) => {
					const { scale, code } = randomMatrix(o, n!, k!, block!);
					const codes = new Uint8Array(n! * k! * codeBytes);
					const scales = new Uint8Array((n! * k! * type.bytes) / block!);
					const memory = viewOf(scales.buffer);
					for (let j = 0; j < n!; j++) {
						for (let c = 0; c < k!; c++) put(codes, j * k! + c, code(j, c));
						for (let b = 0; b < k! / block!; b++)
							type.write(
								memory,
								type.bytes * ((j * k!) / block! + b),
								scale(j, b),
							);
					}
					return {
						dst: o.output("bytes", matrixBytes(type, n!, k!, block!)),
						codes: o.put(codes),
						scales: o.put(scales),
						n: n!,
						k: k!,
						block: block!,
					};
				},
			]),
		),
	};
}

const int8 = (type: ScaleType) =>
	planes(
		type,
		1,
		(codes, i, code) => {
			codes[i] = code;
		},
		(codes, i) => (codes[i]! << 24) >> 24,
	);
const int32 = (type: ScaleType) =>
	planes(
		type,
		0.5,
		(codes, i, code) => {
			codes[i >> 1]! |= (code + 8) << (4 * (i & 1));
		},
		(codes, i) => ((codes[i >> 1]! >> (4 * (i & 1))) & 15) - 8,
	);

export const pack_qb4w_bf16_i8 = int8(brain);
export const pack_qb4w_f16_i8 = int8(half);
export const pack_qb4w_f32_i8 = int8(float);
export const pack_qb4w_f16_packed = int32(half);
export const pack_qb4w_bf16_packed = int32(brain);
export const pack_qb4w_f32_packed = int32(float);
