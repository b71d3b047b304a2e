// Tiles of floats of 8 bits in blocks with a scale each, plainly.
import type { KernelName } from "../../src/engine/kernels.ts";
import {
	type Format as AnyFormat,
	scaleTypes,
} from "../../src/engine/layouts.ts";
import { type Entry, exact } from "./entry.ts";
import { type PlainLayout, padded, WHOLE } from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";
import {
	randomScales,
	scalesBytes,
	scaleTypeOf,
	withScales,
} from "./scales.ts";

type Format = Pick<AnyFormat, "scale_type">;

/** A format of floats of 8 bits. */
export interface Float8 {
	/** The value of a byte. */
	readonly value: (byte: number) => number;
	/** A random byte of a row of a file. */
	readonly random: (o: Operands, row: number) => number;
	/** Standard deviation of scales that make weights about 0.1. */
	readonly scale: number;
	/** The powers of two of the least and the highest exponent: a block's largest float is brought to the highest. */
	readonly exponents: readonly [least: number, highest: number];
}

/** Columns per scale: 0 says that all of a row's share one. */
const columnsOf = (k: number, block: number) =>
	block === 0 || block >= k ? 32 * Math.ceil(k / 32) : block;
const blocksOf = (k: number, block: number) =>
	Math.ceil(k / columnsOf(k, block));

const tileBytes = (k: number, block: number, format: Format) =>
	scalesBytes(format) * blocksOf(k, block) + 512 * Math.ceil(k / 32);
const matrixBytes = (n: number, k: number, block: number, format: Format) =>
	(padded(n) / 16) * tileBytes(k, block, format);

/** Offsets of what belongs to weight (j, c). */
function place(j: number, c: number, k: number, block: number, format: Format) {
	const r = j % 16;
	const columns = columnsOf(k, block);
	const tile = Math.floor(j / 16) * tileBytes(k, block, format);
	const b = Math.floor(c / columns);
	const scales = tile + b * (scalesBytes(format) + 16 * columns);
	const group =
		scales + scalesBytes(format) + 512 * Math.floor((c % columns) / 32);
	const four = Math.floor((c % 32) / 4);
	return {
		scales,
		row: scaleTypeOf(format).place(r),
		byte: group + 256 * Math.floor(r / 8) + 32 * four + 4 * (r % 8) + (c % 4),
	};
}

/** By which power of two floats can be multiplied. */
function roomAbove({ exponents, value }: Float8, bytes: Uint8Array): number {
	const most = Math.max(...Array.from(bytes, (byte) => Math.abs(value(byte))));
	const [least, highest] = exponents;
	return highest - Math.max(most && Math.floor(Math.log2(most)), least);
}

/** The exponent of the smallest scale that is not denormal. */
const leastScale = ({ scale_type }: Format) =>
	scale_type === scaleTypes.F16 ? -14 : -126;

/** By which power of two a scale can be divided without becoming denormal. */
const roomBelow = (scale: number, format: Format) =>
	scale === 0
		? 0
		: Math.max(Math.floor(Math.log2(Math.abs(scale))) - leastScale(format), 0);

/** The byte of a value of the same sign as `stored`. */
function byteOf({ value }: Float8, wanted: number, stored: number): number {
	const first = stored & 128;
	for (let byte = first; byte < first + 128; byte++)
		if (value(byte) === wanted) return byte;
	throw new Error(`no byte stands for ${wanted}`);
}

/** The packed form of rows of bytes as they are stored, with scales [n, blocks]. */
function pack(
	kind: Float8,
	stored: Uint8Array,
	scales: ArrayLike<number>,
	n: number,
	k: number,
	block: number,
	format: Format,
): Uint8Array {
	const bytes = new Uint8Array(matrixBytes(n, k, block, format));
	const memory = viewOf(bytes.buffer);
	const blocks = blocksOf(k, block);
	const type = scaleTypeOf(format);
	for (let j = 0; j < n; j++) {
		// Rows that share a scale share a power.
		const first = type.name === "SHARED" ? j - (j % 16) : j;
		const end = type.name === "SHARED" ? Math.min(first + 16, n) : j + 1;
		for (let b = 0; b < blocks; b++) {
			const from = b * columnsOf(k, block);
			const to = Math.min(from + columnsOf(k, block), k);
			const scale = scales[j * blocks + b]!;
			const rooms = Array.from({ length: end - first }, (_, i) =>
				roomAbove(
					kind,
					stored.subarray((first + i) * k + from, (first + i) * k + to),
				),
			);
			const power = Math.min(...rooms, roomBelow(scale, format));
			const at = place(j, from, k, block, format);
			type.write(memory, at.scales, at.row, scale * 2 ** -power);
			for (let c = from; c < to; c++) {
				const byte = stored[j * k + c]!;
				const lifted = kind.value(byte) * 2 ** power;
				bytes[place(j, c, k, block, format).byte] = byteOf(kind, lifted, byte);
			}
		}
	}
	return bytes;
}

const randomBytes = (kind: Float8, o: Operands, n: number, k: number) =>
	Uint8Array.from({ length: n * k }, (_, i) =>
		kind.random(o, Math.floor(i / k)),
	);

/** Scales [n, blocks] that a file of the format can have. */
function scalesOf(
	kind: Float8,
	o: Operands,
	n: number,
	k: number,
	block: number,
	format: Format,
): Float32Array {
	const blocks = blocksOf(k, block);
	const type = scaleTypeOf(format);
	const memory = viewOf(new ArrayBuffer(4));
	const exact = randomScales(o, n * blocks, blocks, kind.scale, format);
	return exact.map((scale) => {
		type.write(memory, 0, 0, scale);
		return type.read(memory, 0, 0);
	});
}

export const float8Layout = (kind: Float8, only?: AnyFormat): PlainLayout => ({
	weight(memory, w, j, c, k, block, _n, format) {
		const some = only ?? format;
		const { scales, row, byte } = place(j, c, k, block, some);
		const scale = scaleTypeOf(some).read(memory, w + scales, row);
		return scale * kind.value(memory.u8(w + byte)[0]!);
	},
	random(o, n, k, block, format) {
		const some = only ?? format;
		const scales = scalesOf(kind, o, n, k, block, some);
		return pack(kind, randomBytes(kind, o, n, k), scales, n, k, block, some);
	},
});

/** Of a kernel that packs codes and scales, tried on [n, k, block, format]. */
export function packingScaled(
	kind: Float8,
	sizes: readonly (readonly [
		n: number,
		k: number,
		block: number,
		format: AnyFormat,
	])[],
): Entry<"pack_f8e4m3w_f8_e4m3_scaled"> {
	return {
		run(args, lo, hi, memory) {
			const { dst, codes, scales, k, block } = args;
			const n = hi - lo;
			const own = Array.from({ length: n * blocksOf(k, block) }, (_, i) =>
				scaleTypeOf(args).read(memory, scales, i),
			);
			memory.u8(dst).set(pack(kind, memory.u8(codes), own, n, k, block, args));
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			sizes.map(([n, k, block, format]) => [
				`${n} rows of ${k} in blocks of ${block}, ${scaleTypeOf(format).name}`,
				(o: Operands) => {
					const type = scaleTypeOf(format);
					const values = scalesOf(kind, o, n, k, block, format);
					const scales = new Uint8Array(values.length * type.bytes);
					for (const [i, scale] of values.entries())
						type.write(viewOf(scales.buffer), 0, i, scale);
					return {
						dst: o.output("bytes", matrixBytes(n, k, block, format)),
						codes: o.put(randomBytes(kind, o, n, k)),
						scales: o.put(scales),
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

type PackPlain = Extract<
	KernelName,
	"pack_f8e4m3w_f8_e4m3" | "pack_f8e5m2w_f8_e5m2"
>;

/** Of a kernel that packs bytes without scales, tried on [n, k]. */
export function packingPlain(
	kind: Float8,
	sizes: readonly (readonly [n: number, k: number])[],
): Entry<PackPlain> {
	const format = withScales("F32");
	return {
		run({ dst, src, k }, lo, hi, memory) {
			const ones = new Float32Array(hi - lo).fill(1);
			const bytes = pack(kind, memory.u8(src), ones, hi - lo, k, 0, format);
			memory.u8(dst).set(bytes);
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			sizes.map(([n, k]) => [
				`${n} rows of ${k}`,
				(o: Operands) => ({
					dst: o.output("bytes", matrixBytes(n, k, 0, format)),
					src: o.put(randomBytes(kind, o, n, k)),
					n,
					k,
				}),
			]),
		),
	};
}
