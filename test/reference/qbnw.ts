import type { KernelName } from "../../src/engine/kernels.ts";
import type { Format } from "../../src/engine/layouts.ts";
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
import {
	randomScales,
	scalesBytes,
	scaleTypeOf,
	withScales,
} from "./scales.ts";

/** Sizes of a matrix whose kernels see k columns, gaps behind blocks included. */
function sizesOf(k: number, block: number, format: Format) {
	const wide = 32 * Math.ceil(block / 32);
	const blocks = k / wide;
	const columns = blocks * block;
	const groups = Math.ceil(columns / 32);
	const headerBytes = scalesBytes(format) + 2 * format.bits * format.has_zeros;
	const tileBytes =
		64 +
		groups * 64 * format.bits +
		Math.ceil((32 * groups) / block) * headerBytes;
	return {
		wide,
		blocks,
		columns,
		headerBytes,
		tileBytes: 16 * Math.ceil(tileBytes / 16),
	};
}

const matrixBytes = (n: number, k: number, block: number, format: Format) =>
	(padded(n) / 16) * sizesOf(k, block, format).tileBytes;

/** Some bits of a number: `width` of them in a byte, from bit `shift` up. */
interface Piece {
	/** From the start of what the number is part of. */
	readonly offset: number;
	readonly shift: number;
	readonly width: number;
}

/** Value i of 16 with so many bits. */
function valuePieces(bits: number, i: number): Piece[] {
	const pieces: Piece[] = [];
	let start = 0;
	for (const width of [8, 4, 2, 1])
		if (bits & width) {
			const shift = width * Math.floor(i / (2 * width));
			pieces.push({ offset: start + (i % (2 * width)), shift, width });
			start += 2 * width;
		}
	return pieces;
}

/** The code of row r and column c of a group with so many bits. */
function codePieces(bits: number, r: number, c: number): Piece[] {
	const pieces: Piece[] = [];
	const four = Math.floor(c / 4);
	const inHalf = 256 * Math.floor(r / 8) + 4 * (r % 8) + (c % 4);
	const inQuarter = 16 * Math.floor(r / 4) + 4 * (r % 4) + (c % 4);
	const places: Record<number, Omit<Piece, "width">> = {
		8: { offset: inHalf + 32 * four, shift: 0 },
		4: {
			offset: 128 * Math.floor(r / 8) + 4 * (r % 8) + (c % 4) + 32 * (four % 4),
			shift: 4 * Math.floor(four / 4),
		},
		2: {
			offset: 64 * Math.floor(four / 4) + inQuarter,
			shift: 2 * (four % 4),
		},
		1: { offset: inQuarter, shift: four },
	};
	let start = 0;
	for (const width of [8, 4, 2, 1])
		if (bits & width) {
			const place = places[width]!;
			pieces.push({ ...place, offset: start + place.offset, width });
			start += 64 * width;
		}
	return pieces;
}

/** By bits, then by 32 · r + c and by i: there are a few hundred of these, and millions of codes. */
const everyCode = Array.from({ length: 9 }, (_, bits) =>
	Array.from({ length: 16 * 32 }, (_, at) =>
		codePieces(bits, Math.floor(at / 32), at % 32),
	),
);
const everyValue = Array.from({ length: 9 }, (_, bits) =>
	Array.from({ length: 16 }, (_, i) => valuePieces(bits, i)),
);

/** A number in memory. */
interface Stored {
	readonly address: number;
	readonly pieces: readonly Piece[];
}

/** A number from its pieces, the first of which has the lowest bits. */
function read(memory: View, { address, pieces }: Stored): number {
	let value = 0;
	let above = 0;
	for (const { offset, shift, width } of pieces) {
		const byte = memory.u8(address + offset)[0]!;
		value += ((byte >> shift) & (2 ** width - 1)) * 2 ** above;
		above += width;
	}
	return value;
}

function write(memory: View, { address, pieces }: Stored, value: number) {
	for (const { offset, shift, width } of pieces) {
		memory.u8(address + offset)[0]! |= (value & (2 ** width - 1)) << shift;
		value >>= width;
	}
}

/** Where tile, scales and zero point of block b of row j are, and code c of the row's, gaps left out. */
function place(
	w: number,
	j: number,
	b: number,
	c: number,
	k: number,
	block: number,
	format: Format,
) {
	const { bits } = format;
	const { tileBytes, headerBytes } = sizesOf(k, block, format);
	const r = j % 16;
	const tile = w + Math.floor(j / 16) * tileBytes;
	const before = Math.floor((b * block) / 32);
	const scales = tile + 64 + before * 64 * bits + b * headerBytes;
	const g = Math.floor(c / 32);
	// Blocks that begin in group g or before.
	const begun = Math.ceil((32 * (g + 1)) / block);
	const group = tile + 64 + g * 64 * bits + begun * headerBytes;
	return {
		sum: tile + 4 * r,
		scales,
		row: scaleTypeOf(format).place(r),
		zero: {
			address: scales + scalesBytes(format),
			pieces: everyValue[bits]![r]!,
		},
		code: { address: group, pieces: everyCode[bits]![32 * r + (c % 32)]! },
	};
}

/** Codes and zero points of n rows, and scales. */
interface Matrix {
	readonly code: (j: number, c: number) => number;
	readonly scale: (j: number, b: number) => number;
	readonly zero: (j: number, b: number) => number;
}

function randomMatrix(
	o: Operands,
	n: number,
	k: number,
	block: number,
	format: Format,
): Matrix {
	const { blocks, columns } = sizesOf(k, block, format);
	const half = 2 ** (format.bits - 1);
	const codes = o.integers(n * columns, -half, half - 1);
	const zeros = o.integers(n * blocks, -half, half - 1);
	const scales = randomScales(o, n * blocks, blocks, 0.15 / half, format);
	return {
		code: (j, c) => codes[j * columns + c]!,
		scale: (j, b) => scales[j * blocks + b]!,
		zero: (j, b) => (format.has_zeros ? zeros[j * blocks + b]! : 0),
	};
}

/** Writes rows [0, n) of a matrix; what is past the last row or column is zeros. */
function pack(
	memory: View,
	dst: number,
	{ code, scale, zero }: Matrix,
	n: number,
	k: number,
	block: number,
	format: Format,
) {
	const { blocks } = sizesOf(k, block, format);
	const half = 2 ** (format.bits - 1);
	const type = scaleTypeOf(format);
	memory.u8(dst).fill(0, 0, matrixBytes(n, k, block, format));
	for (let j = 0; j < n; j++) {
		let sum = 0;
		for (let b = 0; b < blocks; b++) {
			const at = place(dst, j, b, 0, k, block, format);
			type.write(memory, at.scales, at.row, scale(j, b));
			if (format.has_zeros) write(memory, at.zero, zero(j, b) + half);
			let total = 0;
			for (let c = b * block; c < (b + 1) * block; c++) {
				const q = code(j, c);
				write(memory, place(dst, j, b, c, k, block, format).code, q + half);
				total += q - zero(j, b);
			}
			const stored = type.read(memory, at.scales, at.row);
			sum = Math.fround(sum + Math.fround(total * stored));
		}
		memory.f32(place(dst, j, 0, 0, k, block, format).sum)[0] = sum;
	}
}

const layout: PlainLayout = {
	weight(memory, w, j, c, k, block, _n, format) {
		const { wide } = sizesOf(k, block, format);
		const b = Math.floor(c / wide);
		if (c % wide >= block) return 0;
		const column = b * block + (c % wide);
		const at = place(w, j, b, column, k, block, format);
		const z = format.has_zeros ? read(memory, at.zero) : 2 ** (format.bits - 1);
		const scale = scaleTypeOf(format).read(memory, at.scales, at.row);
		return scale * (read(memory, at.code) - z);
	},
	random(o, n, k, block, format) {
		const bytes = new Uint8Array(matrixBytes(n, k, block, format));
		const matrix = randomMatrix(o, n, k, block, format);
		pack(viewOf(bytes.buffer), 0, matrix, n, k, block, format);
		return bytes;
	},
};

/** All widths, with zero points and without, and blocks of all kinds; k with the gaps behind them. */
const sizes: readonly Sizes[] = [
	[64, 32, withScales("BF16", 3)],
	[128, 64, withScales("F32", 1, 1)],
	[128, 16, withScales("F16", 2, 1)],
	[96, 96, withScales("F32", 3, 1)],
	[192, 48, withScales("BF16", 4, 1)],
	[160, 5, withScales("F32", 4)],
	[1120, 1120, withScales("F32", 5)],
	[384, 128, withScales("SHARED", 5, 1)],
	[256, 64, withScales("F16", 6, 1)],
	[128, 37, withScales("BF16", 7)],
	[192, 32, withScales("BF16", 7, 1)],
	[128, 128, withScales("F16", 8)],
	[192, 8, withScales("F32", 8, 1)],
	[1088, 1, withScales("BF16", 8)],
	[384, 128, withScales("BF16", 8, 1)],
];

export const gemm_f32_qbnw = quantizedGemm(plain, layout, sizes);
export const gemm_qb8_qbnw = quantizedGemm(qb8, layout, sizes);
export const gemm_qd8_qbnw = quantizedGemm(qd8, layout, sizes);
export const embed_qbnw = quantizedEmbed(
	layout,
	128,
	22,
	withScales("BF16", 7, 1),
);

type Pack = Extract<KernelName, `pack_qbnw_${string}`>;

function packing(has_zeros: 0 | 1): Entry<Pack> {
	return {
		run(args, lo, hi, memory) {
			const { dst, codes, scales, k, block, bits, scale_type } = args;
			const format = { bits, scale_type, has_zeros };
			const { blocks, columns } = sizesOf(k, block, format);
			const type = scaleTypeOf(format);
			const matrix = {
				code: (j: number, c: number) => memory.i8(codes)[j * columns + c]!,
				scale: (j: number, b: number) =>
					type.read(memory, scales, j * blocks + b),
				zero: (j: number, b: number) =>
					has_zeros && "zeros" in args
						? memory.i8(args.zeros as number)[j * blocks + b]!
						: 0,
			};
			pack(memory, dst, matrix, hi - lo, k, block, format);
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			sizes.map(([k, block, { bits, scale_type } = withScales("F32")]) => {
				const format = { bits, scale_type, has_zeros };
				const n = block === 96 ? 32 : 37;
				return [
					`${n} rows of ${k}, blocks of ${block}, ${bits} bits`,
					(o: Operands) => {
						const matrix = randomMatrix(o, n, k, block, format);
						const { blocks, columns } = sizesOf(k, block, format);
						const rows = (
							cols: number,
							value: (j: number, c: number) => number,
						) =>
							Float32Array.from({ length: n * cols }, (_, i) =>
								value(Math.floor(i / cols), i % cols),
							);
						const type = scaleTypeOf(format);
						const scales = new Uint8Array(n * blocks * type.bytes);
						for (const [i, scale] of rows(blocks, matrix.scale).entries())
							type.write(viewOf(scales.buffer), 0, i, scale);
						return {
							dst: o.output("bytes", matrixBytes(n, k, block, format)),
							codes: o.put(Int8Array.from(rows(columns, matrix.code))),
							scales: o.put(scales),
							zeros: has_zeros
								? o.put(Int8Array.from(rows(blocks, matrix.zero)))
								: 0,
							n,
							k,
							block,
							bits,
							scale_type,
						};
					},
				];
			}),
		),
	};
}

export const pack_qbnw_i8 = packing(0);
export const pack_qbnw_i8_zeros = packing(1);
