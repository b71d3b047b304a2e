/** Writes GGUF files: metadata as it is given, norms of one value, and random numbers for the rest. */

import { f16Bits } from "../test/quantizers-ggml.ts";
import { floatBytes, floatTypes } from "./float-bytes.ts";
import type { BlockType } from "./mixes.ts";
import { writeModelFile } from "./model-writer.ts";
import { randomBytes, randomWeights } from "./random.ts";

const ALIGNMENT = 32;
/** Blocks of random codes that are repeated all over: an odd number, so that no two rows are the same. */
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
	const header = headerOf(metadata, tensors);
	const patterns = new Map<BlockType["name"], Uint8Array>();
	await writeModelFile(path, async (file) => {
		const pad = (bytes: number) =>
			file.write(new Uint8Array(padded(bytes) - bytes));
		await file.write(header);
		await pad(header.length);
		for (const tensor of tensors) {
			const { type, value } = tensor;
			const size = bytesIn(tensor);
			if (value !== undefined) {
				await file.repeat(floatBytes("F32", Float32Array.of(value)), size);
			} else {
				const bytes = patterns.get(type.name) ?? pattern(type);
				patterns.set(type.name, bytes);
				await file.repeat(bytes, size);
			}
			await pad(size);
		}
	});
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

/** Random codes with sane scales, or random weights. */
function pattern({ name, bytes, scales }: BlockType): Uint8Array {
	const float = floatTypes.find((type) => type === name);
	if (float) return floatBytes(float, randomWeights(PATTERN_BLOCKS));
	const blocks = randomBytes(PATTERN_BLOCKS * bytes);
	const view = new DataView(blocks.buffer);
	for (let at = 0; at < blocks.length; at += bytes)
		for (const [offset, value] of scales)
			if (typeof value === "number")
				view.setUint16(at + offset, f16Bits(value), true);
			else view.setUint8(at + offset, 128 + value.power);
	return blocks;
}
