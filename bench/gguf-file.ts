/** Writes GGUF files: metadata as it is given, norms of one value, and random numbers for the rest. */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { type BlockType, blockTypes } from "./mixes.ts";

const ALIGNMENT = 32;
/** Random bytes that are repeated all over: about as long as fits into a cache, and of odd length in blocks. */
const PATTERN_BLOCKS = 4099;

export interface FileTensor {
	readonly name: string;
	/** The innermost dimension first. */
	readonly sizes: readonly number[];
	readonly type: BlockType;
	/** Of an F32 tensor all of whose elements are the same. @default random ones */
	readonly value?: number;
}

/** A value of metadata with its type, as it stands in the file. */
export type FileValue = Uint8Array;

const bytesOf = (write: (view: DataView) => void, length: number) => {
	const bytes = new Uint8Array(length);
	write(new DataView(bytes.buffer));
	return bytes;
};
const u32 = (value: number) => bytesOf((v) => v.setUint32(0, value, true), 4);
const u64 = (value: number) =>
	bytesOf((v) => v.setBigUint64(0, BigInt(value), true), 8);
const f32 = (value: number) => bytesOf((v) => v.setFloat32(0, value, true), 4);
const text = (value: string) => {
	const bytes = new TextEncoder().encode(value);
	return Buffer.concat([u64(bytes.length), bytes]);
};
const list = (type: number, items: readonly Uint8Array[]) =>
	Buffer.concat([u32(9), u32(type), u64(items.length), ...items]);

/** Writers of values, by GGUF's types. */
export const values = {
	number: (value: number): FileValue => Buffer.concat([u32(4), u32(value)]),
	float: (value: number): FileValue => Buffer.concat([u32(6), f32(value)]),
	flag: (value: boolean): FileValue =>
		Buffer.concat([u32(7), Uint8Array.of(value ? 1 : 0)]),
	string: (value: string): FileValue => Buffer.concat([u32(8), text(value)]),
	numbers: (all: readonly number[]): FileValue => list(5, all.map(u32)),
	floats: (all: readonly number[]): FileValue => list(6, all.map(f32)),
	strings: (all: readonly string[]): FileValue => list(8, all.map(text)),
};

export async function writeGguf(
	path: string,
	metadata: readonly (readonly [key: string, value: FileValue])[],
	tensors: readonly FileTensor[],
): Promise<void> {
	const file = createWriteStream(path);
	const write = async (bytes: Uint8Array) => {
		if (!file.write(bytes)) await once(file, "drain");
	};
	const pad = (bytes: number) => write(new Uint8Array(padded(bytes) - bytes));
	const header = headerOf(metadata, tensors);
	await write(header);
	await pad(header.length);
	const patterns = new Map<BlockType, Uint8Array>();
	for (const tensor of tensors) {
		const { type, value } = tensor;
		const size = bytesIn(tensor);
		if (value !== undefined) {
			const all = new Float32Array(size / 4).fill(value);
			await write(new Uint8Array(all.buffer));
		} else {
			const bytes = patterns.get(type) ?? pattern(type);
			patterns.set(type, bytes);
			for (let done = 0; done < size; done += bytes.length)
				await write(bytes.subarray(0, Math.min(bytes.length, size - done)));
		}
		await pad(size);
	}
	file.end();
	await once(file, "finish");
}

const padded = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

const bytesIn = ({ sizes, type }: FileTensor) =>
	(sizes.reduce((a, b) => a * b, 1) / type.elements) * type.bytes;

function headerOf(
	metadata: readonly (readonly [key: string, value: FileValue])[],
	tensors: readonly FileTensor[],
): Uint8Array {
	const head: Uint8Array[] = [
		new TextEncoder().encode("GGUF"),
		u32(3),
		u64(tensors.length),
		u64(metadata.length),
	];
	for (const [key, value] of metadata) head.push(text(key), value);
	let offset = 0;
	for (const tensor of tensors) {
		const { name, sizes, type } = tensor;
		head.push(text(name), u32(sizes.length), ...sizes.map(u64));
		head.push(u32(type.id), u64(offset));
		offset += padded(bytesIn(tensor));
	}
	return Buffer.concat(head);
}

function f16Bits(value: number): number {
	const [bits] = new Uint32Array(Float32Array.of(value).buffer) as unknown as [
		number,
	];
	const exponent = ((bits >>> 23) & 255) - 112;
	if (exponent > 0)
		return (
			((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff)
		);
	return ((bits >>> 16) & 0x8000) | Math.round(Math.abs(value) * 2 ** 24);
}

/** Random codes with sane scales, or small random floats. */
function pattern(type: BlockType): Uint8Array {
	let state = 12345;
	const random = () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return state / 2 ** 32;
	};
	const bytes = new Uint8Array(PATTERN_BLOCKS * type.bytes);
	const view = new DataView(bytes.buffer);
	for (let i = 0; i < bytes.length; i++) bytes[i] = random() * 256;
	for (let b = 0; b < PATTERN_BLOCKS; b++) {
		const at = b * type.bytes;
		for (const [offset, value] of type.scales)
			view.setUint16(at + offset, f16Bits(value), true);
		if (type.elements > 1) continue;
		const value = (random() - 0.5) * 0.05;
		if (type.bytes === 4) view.setFloat32(at, value, true);
		else if (type.id === blockTypes.F16.id)
			view.setUint16(at, f16Bits(value), true);
		else
			view.setUint16(
				at,
				new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16,
				true,
			);
	}
	return bytes;
}
