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
	/** The header in front of the tiles of a matrix [n, k]. */
	readonly header: (
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
		header: number,
		address: number,
		index: number,
	) => number;
}

const f32 = Math.fround;
const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
	new Uint8Array(buffer, byteOffset, byteLength);

const floats: Scales = {
	bytes: 4,
	header: (o) => o.gaussians(16),
	random: (o, count) => bytesOf(o.gaussians(count, 0.1)),
	read: (memory, _, address) => memory.f32(address)[0]!,
};

/** Bytes are places in a table of 256, times an outer scale, plus an offset. */
const nested: Scales = {
	bytes: 1,
	header(o, n, k, block) {
		const outer = 4 * Math.ceil((n * k) / block / 1024);
		const inner = o.gaussians(256, 0.1);
		return Float32Array.of(
			...o.gaussians(16),
			...inner,
			...[0.05, PER_OUTER, 0, 0],
			...o.gaussians(outer),
		);
	},
	random: (o, count) => Uint8Array.from(o.integers(count, 0, 255)),
	read(memory, header, address, index) {
		const inner = memory.f32(header)[16 + memory.u8(address)[0]!]!;
		const outer = memory.f32(header)[276 + Math.floor(index / PER_OUTER)]!;
		return f32(f32(inner * outer) + memory.f32(header)[272]!);
	},
};

const headerBytes = ({ bytes }: Scales, n: number, k: number, block: number) =>
	bytes === 4 ? 64 : 1104 + 16 * Math.ceil((n * k) / block / 1024);
const tileBytes = ({ bytes }: Scales, k: number, block: number) =>
	(16 * bytes * k) / block + 8 * k;
const matrixBytes = (scales: Scales, n: number, k: number, block: number) =>
	headerBytes(scales, n, k, block) +
	Math.ceil(n / 16) * tileBytes(scales, k, block);

/** Addresses of the scale and the code of weight (j, c) in tiles, and the code's shift in its byte. */
function place(
	{ bytes }: Scales,
	tiles: number,
	j: number,
	c: number,
	k: number,
	block: number,
) {
	const r = j % 16;
	const tile = tiles + Math.floor(j / 16) * ((16 * bytes * k) / block + 8 * k);
	const octet = tile + (16 * bytes * k) / block + 64 * Math.floor(c / 8);
	return {
		scale: tile + bytes * (16 * Math.floor(c / block) + r),
		code: octet + 16 * Math.floor(r / 4) + 4 * (c % 4) + (r % 4),
		shift: c % 8 < 4 ? 0 : 4,
	};
}

/** Packs rows [0, hi) behind the header: codes two to a byte, the first of them in the high nibble. */
function pack(
	scales: Scales,
	memory: View,
	tiles: number,
	codesAt: number,
	scalesAt: number,
	k: number,
	block: number,
	hi: number,
) {
	const bytes = Math.ceil(hi / 16) * tileBytes(scales, k, block);
	memory.u8(tiles).fill(0, 0, bytes);
	const stored = memory.u8(codesAt);
	for (let j = 0; j < hi; j++)
		for (let c = 0; c < k; c++) {
			const at = place(scales, tiles, j, c, k, block);
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
		const tiles = w + headerBytes(scales, n, k, block);
		const at = place(scales, tiles, j, c, k, block);
		const code = (memory.u8(at.code)[0]! >> at.shift) & 15;
		const index = Math.floor((j * k + c) / block);
		return f32(memory.f32(w)[code]! * scales.read(memory, w, at.scale, index));
	},
	random(o, n, k, block) {
		const header = bytesOf(scales.header(o, n, k, block));
		const size = matrixBytes(scales, n, k, block);
		const codes = Uint8Array.from(o.integers((n * k) / 2, 0, 255));
		const image = new Uint8Array(size + codes.length + (4 * n * k) / block);
		image.set(header);
		image.set(codes, size);
		image.set(scales.random(o, (n * k) / block), size + codes.length);
		pack(
			scales,
			viewOf(image.buffer),
			header.length,
			size,
			size + codes.length,
			k,
			block,
			n,
		);
		return image.slice(0, size);
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
	run({ dst, codes, scales: from, table, n, k, block }, _lo, hi, memory) {
		const header = headerBytes(scales, n, k, block);
		memory.u8(dst).set(memory.u8(table).subarray(0, header));
		pack(scales, memory, dst + header, codes, from, k, block, hi);
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
				dst: o.output("bytes", matrixBytes(scales, n!, k!, block!)),
				codes: o.put(Uint8Array.from(o.integers((n! * k!) / 2, 0, 255))),
				scales: o.put(scales.random(o, (n! * k!) / block!)),
				table: o.put(scales.header(o, n!, k!, block!)),
				n: n!,
				k: k!,
				block: block!,
			}),
		]),
	),
});

export const pack_lut4w_f32_bitsandbytes = packing(floats);
export const pack_lut4w_u8_bitsandbytes = packing(nested);
