import type { KernelName } from "../../src/engine/kernels.ts";
import type { Format as AnyFormat } from "../../src/engine/layouts.ts";
import { type Entry, exact, type View } from "./entry.ts";
import {
	type PlainLayout,
	padded,
	quantizedEmbed,
	quantizedGemm,
	type Sizes,
	WHOLE,
} from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";
import { plain, qb8, qd8 } from "./quantize.ts";
import { scaleTypeOf, withScales } from "./scales.ts";

type Format = Pick<AnyFormat, "scale_type">;
const [f16, bf16, f32] = [
	withScales("F16"),
	withScales("BF16"),
	withScales("F32"),
];

/** Bytes of 16 rows' scales, zero points and codes of a block. */
const parts = (block: number, format: Format) => ({
	scales: 16 * scaleTypeOf(format).bytes,
	zeros: 8,
	codes: 8 * block,
});

function blockBytes(block: number, format: Format): number {
	const { scales, zeros, codes } = parts(block, format);
	return scales + zeros + codes;
}

const tileBytes = (k: number, block: number, format: Format) =>
	16 * Math.ceil((64 + (k / block) * blockBytes(block, format)) / 16);
const matrixBytes = (n: number, k: number, block: number, format: Format) =>
	(padded(n) / 16) * tileBytes(k, block, format);

/** Addresses of what belongs to weight (j, c), and the shifts of zero point and code in their bytes. */
function place(
	w: number,
	j: number,
	c: number,
	k: number,
	block: number,
	format: Format,
) {
	const r = j % 16;
	const tile = w + Math.floor(j / 16) * tileBytes(k, block, format);
	const scales = tile + 64 + Math.floor(c / block) * blockBytes(block, format);
	const zeros = scales + parts(block, format).scales;
	const group = zeros + 8 + 256 * Math.floor((c % block) / 32);
	const four = Math.floor((c % 16) / 4);
	return {
		r,
		sum: tile + 4 * r,
		scales,
		zero: zeros + (r % 8),
		zeroShift: r < 8 ? 0 : 4,
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
function pack(
	memory: View,
	dst: number,
	matrix: Matrix,
	hi: number,
	format: Format,
) {
	const { k, block, code, scale, zero } = matrix;
	const type = scaleTypeOf(format);
	memory.u8(dst).fill(0, 0, matrixBytes(hi, k, block, format));
	for (let j = 0; j < hi; j++) {
		let sum = 0;
		for (let b = 0; b < k / block; b++) {
			const at = place(dst, j, b * block, k, block, format);
			const z = zero(j, b);
			type.write(memory, at.scales, type.place(at.r), scale(j, b));
			memory.u8(at.zero)[0]! |= (z + 8) << at.zeroShift;
			let total = 0;
			for (let c = b * block; c < (b + 1) * block; c++) {
				const { code: address, shift } = place(dst, j, c, k, block, format);
				memory.u8(address)[0]! |= (code(j, c) + 8) << shift;
				total += code(j, c) - z;
			}
			const stored = type.read(memory, at.scales, type.place(at.r));
			sum = Math.fround(sum + Math.fround(total * stored));
		}
		memory.f32(place(dst, j, 0, k, block, format).sum)[0] = sum;
	}
}

const layout: PlainLayout = {
	weight(memory, w, j, c, k, block, _n, format) {
		const at = place(w, j, c, k, block, format);
		const type = scaleTypeOf(format);
		const q = (memory.u8(at.code)[0]! >> at.shift) & 15;
		const z = (memory.u8(at.zero)[0]! >> at.zeroShift) & 15;
		return type.read(memory, at.scales, type.place(at.r)) * (q - z);
	},
	random(o, n, k, block, format) {
		const bytes = new Uint8Array(matrixBytes(n, k, block, format));
		const matrix = randomMatrix(o, n, k, block);
		pack(viewOf(bytes.buffer), 0, matrix, n, format);
		return bytes;
	},
};

const sizes: readonly Sizes[] = [
	[32, 32, f32],
	[192, 64, bf16],
	[384, 128, f16],
	[1120, 1120, f32],
];

export const gemm_f32_qb4zw = quantizedGemm(plain, layout, sizes);
export const gemm_qb8_qb4zw = quantizedGemm(qb8, layout, sizes);
export const gemm_qd8_qb4zw = quantizedGemm(qd8, layout, sizes);
export const embed_qb4zw = quantizedEmbed(layout, 192, 64, bf16);

/** How a file keeps codes. */
interface Stored {
	/** Bytes per code. */
	readonly bytes: number;
	readonly read: (memory: View, plane: number, i: number) => number;
	readonly write: (memory: View, plane: number, i: number, q: number) => void;
}

const i8: Stored = {
	bytes: 1,
	read: (memory, plane, i) => memory.i8(plane)[i]!,
	write: (memory, plane, i, q) => {
		memory.i8(plane)[i] = q;
	},
};
const packed: Stored = {
	bytes: 0.5,
	read: (memory, plane, i) =>
		((memory.u8(plane)[i >> 1]! >> (4 * (i & 1))) & 15) - 8,
	write: (memory, plane, i, q) => {
		memory.u8(plane)[i >> 1]! |= (q + 8) << (4 * (i & 1));
	},
};

type Pack = Extract<KernelName, `pack_qb4zw_${string}`>;

function packing(stored: Stored): Entry<Pack> {
	return {
		run(args, _lo, hi, memory) {
			const { dst, codes, scales, zeros, k, block } = args;
			const perRow = k / block;
			const matrix = {
				k,
				block,
				code: (j: number, c: number) => stored.read(memory, codes, j * k + c),
				scale: (j: number, b: number) =>
					scaleTypeOf(args).read(memory, scales, j * perRow + b),
				zero: (j: number, b: number) => i8.read(memory, zeros, j * perRow + b),
			};
			pack(memory, dst, matrix, hi, args);
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			(
				[
					[37, 64, 32, f16],
					[32, 256, 128, bf16],
					[16, 96, 96, f32],
				] as const
			).map(([n, k, block, format]) => [
				`${n} rows, blocks of ${block}`,
				(o: Operands) => {
					const matrix = randomMatrix(o, n, k, block);
					const perRow = k / block;
					const plane = (
						{ bytes, write }: Pick<Stored, "bytes" | "write">,
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
						dst: o.output("bytes", matrixBytes(n, k, block, format)),
						codes: plane(stored, k, matrix.code),
						scales: plane(scaleTypeOf(format), perRow, matrix.scale),
						zeros: plane(i8, perRow, matrix.zero),
						n,
						k,
						block,
						...format,
					};
				},
			]),
		),
	};
}

export const pack_qb4zw_i8 = packing(i8);
export const pack_qb4zw_packed = packing(packed);
