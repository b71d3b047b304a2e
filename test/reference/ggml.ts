import type { KernelName } from "../../src/engine/kernels.ts";
import type { BlockType } from "../../src/quant/ggml-block.ts";
import { kTypes } from "../../src/quant/ggml-k.ts";
import { legacyTypes } from "../../src/quant/ggml-legacy.ts";
import { tableTypes } from "../../src/quant/ggml-table.ts";
import { type Entry, exact, type View } from "./entry.ts";
import { floatToHalf } from "./half.ts";
import { type PlainLayout, WHOLE } from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";

// Packing a GGUF type moves its bits and changes none. So a layout is said by where each number's bits lie in a stored block
// and in the packed block of 16 rows, and what the numbers mean is said by the type's own definition.

/** Bits of a number, from its lowest: `width` bits from bit `shift` of a byte, and so on. */
export type Bits = readonly (readonly [
	byte: number,
	shift: number,
	width: number,
])[];

/** A number of a row of a block: where the file keeps it, and where the packed block keeps that of row r. */
export interface Field {
	readonly stored: Bits;
	readonly packed: (r: number) => Bits;
}

export interface PackedType extends PlainLayout {
	/** Random blocks of a matrix [n, k], as a file has them. */
	readonly stored: (o: Operands, n: number, k: number) => Uint8Array;
	readonly bytes: (n: number, k: number) => number;
	/** Packs rows that lie at `src`. */
	readonly pack: (
		memory: View,
		dst: number,
		src: number,
		rows: number,
		k: number,
	) => void;
}

function read(bytes: Uint8Array, at: number, bits: Bits): number {
	let value = 0;
	let above = 0;
	for (const [byte, shift, width] of bits) {
		value |= ((bytes[at + byte]! >> shift) & (2 ** width - 1)) << above;
		above += width;
	}
	return value;
}

function write(bytes: Uint8Array, at: number, bits: Bits, value: number): void {
	let rest = value;
	for (const [byte, shift, width] of bits) {
		bytes[at + byte]! |= (rest & (2 ** width - 1)) << shift;
		rest >>= width;
	}
}

const types = [...legacyTypes, ...kTypes, ...tableTypes];

/** A type's packed form. `deviations` are those of its f16 scales, for weights of about 0.1. */
export function packedType(
	name: string,
	deviations: readonly number[],
	fields: readonly Field[],
): PackedType {
	const type = types.find((candidate) => candidate.name === name) as BlockType;
	const tileBytes = (k: number) => (16 * k * type.bytes) / type.cols;
	const bytes = (n: number, k: number) => Math.ceil(n / 16) * tileBytes(k);
	/** Address of the packed block of row j and block b of it. */
	const blockAt = (w: number, j: number, b: number, k: number) =>
		w + Math.floor(j / 16) * tileBytes(k) + 16 * type.bytes * b;
	const stored = (o: Operands, n: number, k: number) => {
		const words = o.integers((n * k * type.bytes) / type.cols, 0, 255);
		const blocks = Uint8Array.from(words);
		const view = new DataView(blocks.buffer);
		for (let at = 0; at < blocks.length; at += type.bytes)
			if (type.scales === "e8m0") blocks[at] = o.integer(120, 125);
			else
				for (const [i, offset] of type.scales.entries()) {
					const scale = o.gaussian(deviations[i]);
					view.setUint16(at + offset, floatToHalf(scale), true);
				}
		return blocks;
	};
	const pack = (
		memory: View,
		dst: number,
		src: number,
		rows: number,
		k: number,
	) => {
		const all = memory.u8(0);
		all.fill(0, dst, dst + bytes(rows, k));
		for (let j = 0, from = src; j < rows; j++)
			for (let b = 0; b < k / type.cols; b++, from += type.bytes)
				for (const field of fields) {
					const value = read(all, from, field.stored);
					write(all, blockAt(dst, j, b, k), field.packed(j % 16), value);
				}
	};
	/** The row that was asked for last: weights are asked for one by one. */
	let last: { memory: View; w: number; j: number; values: Float32Array };
	return {
		stored,
		bytes,
		pack,
		random(o, n, k) {
			const source = stored(o, n, k);
			const image = new Uint8Array(source.length + bytes(n, k));
			image.set(source);
			pack(viewOf(image.buffer), source.length, 0, n, k);
			return image.slice(source.length);
		},
		weight(memory, w, j, c, k) {
			if (last?.memory !== memory || last.w !== w || last.j !== j) {
				const values = new Float32Array(k);
				const packed = memory.u8(0);
				for (let b = 0; b < k / type.cols; b++) {
					const block = new Uint8Array(type.bytes);
					for (const field of fields) {
						const at = blockAt(w, j, b, k);
						write(
							block,
							0,
							field.stored,
							read(packed, at, field.packed(j % 16)),
						);
					}
					const view = new DataView(block.buffer);
					type.decode(view, 0, values, b * type.cols);
				}
				last = { memory, w, j, values };
			}
			return last.values[c]!;
		},
	};
}

type Pack = Extract<KernelName, `pack_${string}`>;

/** The entry of the kernel that packs a type, tried on [n, k] pairs. */
export function packing(
	type: PackedType,
	sizes: readonly (readonly [n: number, k: number])[],
): Entry<Pack> {
	return {
		run(args, _lo, hi, memory) {
			const { dst, src, k } = args as { dst: number; src: number; k: number };
			type.pack(memory, dst, src, hi, k);
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			sizes.map(([n, k]) => [
				`${n} rows of ${k} columns`,
				(o: Operands) => ({
					dst: o.output("bytes", type.bytes(n, k)),
					src: o.put(type.stored(o, n, k)),
					n,
					k,
				}),
			]),
		) as Entry<Pack>["cases"],
	};
}

/** Whole numbers from 0 to count − 1. */
export const range = (count: number): number[] =>
	Array.from({ length: count }, (_, i) => i);

/** An f16 at byte `from` of a stored block; rows r and r + 4 are neighbours from byte `to`. */
export const halfField = (from: number, to: number): Field => ({
	stored: [
		[from, 0, 8],
		[from + 1, 0, 8],
	],
	packed: (r) => {
		const at = to + 2 * ((r & 8) + 2 * (r & 3) + ((r >> 2) & 1));
		return [
			[at, 0, 8],
			[at + 1, 0, 8],
		];
	},
});

/** Where a group of 32 columns keeps the nibble of row r and column c. */
export const nibbleAt = (
	group: number,
	r: number,
	c: number,
): readonly [byte: number, shift: number] => [
	group +
		128 * Math.floor(r / 8) +
		32 * Math.floor((c % 16) / 4) +
		4 * (r % 8) +
		(c % 4),
	c < 16 ? 0 : 4,
];
