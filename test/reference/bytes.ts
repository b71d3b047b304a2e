// Layouts of a byte per weight in blocks with an f32 scale each, plainly.
import type { KernelName } from "../../src/engine/kernels.ts";
import { type Entry, exact, type View } from "./entry.ts";
import {
	brainToFloat,
	floatToBrain,
	floatToHalf,
	halfToFloat,
} from "./half.ts";
import { type PlainLayout, padded, WHOLE } from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";

/** What a byte of such a layout stands for. */
export interface ByteKind {
	readonly hasSums: boolean;
	/** The byte of a file as it is kept, where that does not depend on others. */
	readonly kept: (stored: number) => number;
	/** The value of a kept byte. */
	readonly value: (kept: number) => number;
	/** A random byte of a row of a file. */
	readonly random: (o: Operands, row: number) => number;
	/** Standard deviation of scales that make weights about 0.1. */
	readonly scale: number;
	/** Of floats, the powers of two of the least and the highest exponent: a block's largest float is brought to the highest. */
	readonly exponents?: readonly [least: number, highest: number];
}

/** Columns per scale: 0 says that all of a row's share one. */
const columnsOf = (k: number, block: number) =>
	block === 0 || block >= k ? 32 * Math.ceil(k / 32) : block;
const blocksOf = (k: number, block: number) =>
	Math.ceil(k / columnsOf(k, block));

const tileBytes = ({ hasSums }: ByteKind, k: number, block: number) =>
	(hasSums ? 64 : 0) + 64 * blocksOf(k, block) + 512 * Math.ceil(k / 32);
const matrixBytes = (kind: ByteKind, n: number, k: number, block: number) =>
	(padded(n) / 16) * tileBytes(kind, k, block);

/** Offsets of what belongs to weight (j, c). */
function place(kind: ByteKind, j: number, c: number, k: number, block: number) {
	const r = j % 16;
	const columns = columnsOf(k, block);
	const tile = Math.floor(j / 16) * tileBytes(kind, k, block);
	const b = Math.floor(c / columns);
	const scales = tile + (kind.hasSums ? 64 : 0) + b * (64 + 16 * columns);
	const group = scales + 64 + 512 * Math.floor((c % columns) / 32);
	const four = Math.floor((c % 32) / 4);
	return {
		sum: tile + 4 * r,
		scale: scales + 4 * r,
		byte: group + 256 * Math.floor(r / 8) + 32 * four + 4 * (r % 8) + (c % 4),
	};
}

/** The power of two that a block of these floats is multiplied by. */
function powerOf({ exponents, value }: ByteKind, floats: Uint8Array): number {
	const most = Math.max(...Array.from(floats, (bits) => Math.abs(value(bits))));
	if (exponents === undefined || most === 0) return 0;
	const [least, highest] = exponents;
	return highest - Math.max(Math.floor(Math.log2(most)), least);
}

/** The byte of a value of the same sign as `stored`. */
function byteOf({ value }: ByteKind, wanted: number, stored: number): number {
	const first = stored & 128;
	for (let byte = first; byte < first + 128; byte++)
		if (value(byte) === wanted) return byte;
	throw new Error(`no byte stands for ${wanted}`);
}

/** The packed form of rows of bytes as they are stored, with scales [n, blocks]. */
function pack(
	kind: ByteKind,
	stored: Uint8Array,
	scales: ArrayLike<number>,
	n: number,
	k: number,
	block: number,
): Uint8Array {
	const bytes = new Uint8Array(matrixBytes(kind, n, k, block));
	const memory = viewOf(bytes.buffer);
	const blocks = blocksOf(k, block);
	for (let j = 0; j < n; j++) {
		let sum = 0;
		for (let b = 0; b < blocks; b++) {
			const from = b * columnsOf(k, block);
			const end = Math.min(from + columnsOf(k, block), k);
			const scale = scales[j * blocks + b]!;
			// The quotient of a smaller scale may be a denormal f32.
			const power =
				Math.abs(scale) < 2e-28
					? 0
					: powerOf(kind, stored.subarray(j * k + from, j * k + end));
			memory.f32(place(kind, j, from, k, block).scale)[0] = scale * 2 ** -power;
			let values = 0;
			for (let c = from; c < end; c++) {
				const byte = stored[j * k + c]!;
				const kept = kind.exponents
					? byteOf(kind, kind.value(byte) * 2 ** power, byte)
					: kind.kept(byte);
				bytes[place(kind, j, c, k, block).byte] = kept;
				values += kind.value(kept);
			}
			sum = Math.fround(sum + Math.fround(values * scales[j * blocks + b]!));
		}
		if (kind.hasSums) memory.f32(place(kind, j, 0, k, block).sum)[0] = sum;
	}
	return bytes;
}

const randomBytes = (kind: ByteKind, o: Operands, n: number, k: number) =>
	Uint8Array.from({ length: n * k }, (_, i) =>
		kind.random(o, Math.floor(i / k)),
	);

export const byteLayout = (kind: ByteKind): PlainLayout => ({
	weight(memory, w, j, c, k, block) {
		const { scale, byte } = place(kind, j, c, k, block);
		return memory.f32(w + scale)[0]! * kind.value(memory.u8(w + byte)[0]!);
	},
	random(o, n, k, block) {
		const scales = o.gaussians(n * blocksOf(k, block), kind.scale);
		return pack(kind, randomBytes(kind, o, n, k), scales, n, k, block);
	},
});

/** A type of scales: how a file stores them. */
export interface StoredScales {
	readonly bytes: number;
	readonly write: (values: Float32Array) => Float32Array | Uint16Array;
	readonly read: (memory: View, address: number, i: number) => number;
}

export const scaleTypes = {
	f32: {
		bytes: 4,
		write: (values) => values,
		read: (memory, address, i) => memory.f32(address)[i]!,
	},
	f16: {
		bytes: 2,
		write: (values) => Uint16Array.from(values, floatToHalf),
		read: (memory, address, i) => halfToFloat(memory.u16(address)[i]!),
	},
	bf16: {
		bytes: 2,
		write: (values) => Uint16Array.from(values, floatToBrain),
		read: (memory, address, i) => brainToFloat(memory.u16(address)[i]!),
	},
} as const satisfies Record<string, StoredScales>;

type PackScaled = Extract<
	KernelName,
	`pack_${"qb8w_f32_i8" | "f8e4m3w_f8_e4m3"}_${"f32" | "f16" | "bf16"}`
>;

/** Of a kernel that packs codes and scales, tried on [n, k, block]. */
export function packingScaled(
	kind: ByteKind,
	type: StoredScales,
	sizes: readonly (readonly [n: number, k: number, block: number])[],
): Entry<PackScaled> {
	return {
		run(args, lo, hi, memory) {
			const { dst, codes, scales, k } = args;
			const block = "block" in args ? args.block : 0;
			const n = hi - lo;
			const own = Array.from({ length: n * blocksOf(k, block) }, (_, i) =>
				type.read(memory, scales, i),
			);
			memory.u8(dst).set(pack(kind, memory.u8(codes), own, n, k, block));
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			sizes.map(([n, k, block]) => [
				`${n} rows of ${k} in blocks of ${block}`,
				(o: Operands) => ({
					dst: o.output("bytes", matrixBytes(kind, n, k, block)),
					codes: o.put(randomBytes(kind, o, n, k)),
					scales: o.put(
						type.write(o.gaussians(n * blocksOf(k, block), kind.scale)),
					),
					n,
					k,
					block,
				}),
			]),
		),
	};
}

type PackPlain = "pack_f8e4m3w_f8_e4m3" | "pack_f8e5m2w_f8_e5m2";

/** Of a kernel that packs bytes without scales, tried on [n, k]. */
export function packingPlain(
	kind: ByteKind,
	sizes: readonly (readonly [n: number, k: number])[],
): Entry<PackPlain> {
	return {
		run({ dst, src, k }, lo, hi, memory) {
			const ones = new Float32Array(hi - lo).fill(1);
			memory.u8(dst).set(pack(kind, memory.u8(src), ones, hi - lo, k, 0));
		},
		units: ({ n }) => n,
		grain: WHOLE,
		tolerance: exact,
		cases: Object.fromEntries(
			sizes.map(([n, k]) => [
				`${n} rows of ${k}`,
				(o: Operands) => ({
					dst: o.output("bytes", matrixBytes(kind, n, k, 0)),
					src: o.put(randomBytes(kind, o, n, k)),
					n,
					k,
				}),
			]),
		),
	};
}
