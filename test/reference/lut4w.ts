import type { KernelName } from "../../src/engine/kernels.ts";
import { type Entry, exact, type View } from "./entry.ts";
import {
	type PlainLayout,
	quantizedEmbed,
	quantizedGemm,
	WHOLE,
} from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";
import { plain } from "./quantize.ts";

/** Blocks that share an outer scale, in the matrices of these tests. */
const PER_OUTER = 512;

/** How the scales of a matrix are kept. */
interface Scales {
	readonly bytes: 1 | 4;
	/** The tables behind the tiles of a matrix [n, k]. */
	readonly tables: (
		o: Operands,
		n: number,
		k: number,
		block: number,
	) => Float32Array;
	/** Row-major scales of `count` blocks. */
	readonly random: (o: Operands, count: number) => Uint8Array;
	/** The scale at `address`, of block number `index` of the matrix. */
	readonly read: (
		memory: View,
		tables: number,
		address: number,
		index: number,
	) => number;
}

const f32 = Math.fround;
const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
	new Uint8Array(buffer, byteOffset, byteLength);

const floats: Scales = {
	bytes: 4,
	tables: (o) => o.gaussians(16),
	random: (o, count) => bytesOf(o.gaussians(count, 0.1)),
	read: (memory, _, address) => memory.f32(address)[0]!,
};

/** Bytes are places in a table of 256, times an outer scale, plus an offset. */
const nested: Scales = {
	bytes: 1,
	tables: (o, n, k, block) =>
		Float32Array.of(
			...o.gaussians(16),
			...o.gaussians(256, 0.1),
			...[0.05, PER_OUTER, 0, 0],
			...o.gaussians(Math.ceil((n * k) / block / PER_OUTER)),
		),
	random: (o, count) => Uint8Array.from(o.integers(count, 0, 255)),
	read(memory, tables, address, index) {
		const values = memory.f32(tables);
		const inner = values[16 + memory.u8(address)[0]!]!;
		const outer = values[276 + Math.floor(index / PER_OUTER)]!;
		return f32(f32(inner * outer) + values[272]!);
	},
};

const tileBytes = ({ bytes }: Scales, k: number, block: number) =>
	(16 * bytes * k) / block + 8 * k;
const tilesBytes = (scales: Scales, n: number, k: number, block: number) =>
	Math.ceil(n / 16) * tileBytes(scales, k, block);

/** Addresses of the scale and the code of weight (j, c), and the code's shift in its byte. */
function place(
	scales: Scales,
	w: number,
	j: number,
	c: number,
	k: number,
	block: number,
) {
	const r = j % 16;
	const tile = w + Math.floor(j / 16) * tileBytes(scales, k, block);
	const { bytes } = scales;
	const octet = tile + (16 * bytes * k) / block + 64 * Math.floor(c / 8);
	return {
		scale: tile + bytes * (16 * Math.floor(c / block) + r),
		code: octet + 16 * Math.floor(r / 4) + 4 * (c % 4) + (r % 4),
		shift: c % 8 < 4 ? 0 : 4,
	};
}

/** Packs rows [0, hi): codes are stored two to a byte, the first of them in the high nibble. */
function pack(
	scales: Scales,
	memory: View,
	dst: number,
	codesAt: number,
	scalesAt: number,
	k: number,
	block: number,
	hi: number,
) {
	memory.u8(dst).fill(0, 0, tilesBytes(scales, hi, k, block));
	const stored = memory.u8(codesAt);
	for (let j = 0; j < hi; j++)
		for (let c = 0; c < k; c++) {
			const at = place(scales, dst, j, c, k, block);
			const i = j * k + c;
			const code = (stored[i >> 1]! >> (i & 1 ? 0 : 4)) & 15;
			memory.u8(at.code)[0]! |= code << at.shift;
			const from = scalesAt + scales.bytes * Math.floor(i / block);
			const scale = memory.u8(from).subarray(0, scales.bytes);
			memory.u8(at.scale).set(scale);
		}
}

const layout = (scales: Scales): PlainLayout => ({
	weight(memory, w, j, c, k, block, n) {
		const tables = w + tilesBytes(scales, n, k, block);
		const at = place(scales, w, j, c, k, block);
		const code = (memory.u8(at.code)[0]! >> at.shift) & 15;
		const index = Math.floor((j * k + c) / block);
		const scale = scales.read(memory, tables, at.scale, index);
		return f32(memory.f32(tables)[code]! * scale);
	},
	tableBytes: (n, k, block) =>
		scales.bytes === 4 ? 64 : 1104 + 4 * Math.ceil((n * k) / block / PER_OUTER),
	random(o, n, k, block) {
		const tables = bytesOf(scales.tables(o, n, k, block));
		const size = tilesBytes(scales, n, k, block);
		const parts = [
			Uint8Array.from(o.integers((n * k) / 2, 0, 255)),
			scales.random(o, (n * k) / block),
		] as const;
		const codes = size + tables.length;
		const from = codes + parts[0].length;
		const image = new Uint8Array(from + parts[1].length);
		image.set(tables, size);
		image.set(parts[0], codes);
		image.set(parts[1], from);
		pack(scales, viewOf(image.buffer), 0, codes, from, k, block, n);
		return image.slice(0, codes);
	},
});

const sizes = [
	[64, 64],
	[24, 8],
	[192, 32],
	[1024, 512],
	[1120, 32],
] as const;

export const gemm_f32_lut4w_f32 = quantizedGemm(plain, layout(floats), sizes);
export const gemm_f32_lut4w_u8 = quantizedGemm(plain, layout(nested), sizes);
export const embed_lut4w_f32 = quantizedEmbed(layout(floats), 192, 64);
export const embed_lut4w_u8 = quantizedEmbed(layout(nested), 1024, 8);

type Pack = Extract<KernelName, `pack_lut4w_${string}`>;

const packing = (scales: Scales): Entry<Pack> => ({
	run({ dst, codes, scales: from, k, block }, _lo, hi, memory) {
		pack(scales, memory, dst, codes, from, k, block, hi);
	},
	units: ({ n }) => n,
	grain: WHOLE,
	tolerance: exact,
	cases: Object.fromEntries(
		[
			[37, 64, 64],
			[32, 256, 128],
			[18, 24, 8],
			[16, 96, 32],
		].map(([n, k, block]) => [
			`${n} rows of ${k} columns, blocks of ${block}`,
			(o: Operands) => ({
				dst: o.output("bytes", tilesBytes(scales, n!, k!, block!)),
				codes: o.put(Uint8Array.from(o.integers((n! * k!) / 2, 0, 255))),
				scales: o.put(scales.random(o, (n! * k!) / block!)),
				n: n!,
				k: k!,
				block: block!,
			}),
		]),
	),
});

export const pack_lut4w_f32_bitsandbytes = packing(floats);
export const pack_lut4w_u8_bitsandbytes = packing(nested);
