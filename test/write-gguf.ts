import { ggmlTypes } from "../src/formats/gguf-types.ts";

/** A value with its GGUF type: `{ u32: 7 }`, `{ string: "x" }`, `{ array: [{ u8: 1 }] }`, or `raw` bytes after a type number. */
export type WriteValue =
	| { u8: number }
	| { u32: number }
	| { i32: number }
	| { u64: bigint }
	| { f32: number }
	| { bool: boolean }
	| { string: string }
	| { array: WriteValue[] }
	| { type: number; raw: Uint8Array };

export interface WriteTensor {
	name: string;
	/** Fastest axis first, as in the file. */
	sizes: (number | bigint)[];
	type: number;
	data?: Uint8Array;
	/** In place of the right one. */
	offset?: bigint;
	dimensions?: number;
}

export interface WriteGguf {
	version?: number;
	keys?: [string, WriteValue][];
	tensors?: WriteTensor[];
	keyCount?: bigint;
	tensorCount?: bigint;
	alignment?: number;
}

/** A GGUF file as described, right or wrong. Data that is not given is zeros. */
export function writeGguf({
	version = 3,
	keys = [],
	tensors = [],
	keyCount = BigInt(keys.length),
	tensorCount = BigInt(tensors.length),
	alignment = 32,
}: WriteGguf): Uint8Array<ArrayBuffer> {
	const out: Uint8Array[] = [ascii("GGUF"), u32(version)];
	out.push(u64(tensorCount), u64(keyCount));
	for (const [key, value] of keys) {
		const [type, bytes] = encode(value);
		out.push(string(key), u32(type), bytes);
	}
	const data: Uint8Array[] = [];
	let end = 0;
	for (const tensor of tensors) {
		const { name, sizes, type, offset } = tensor;
		out.push(string(name), u32(tensor.dimensions ?? sizes.length));
		for (const size of sizes) out.push(u64(BigInt(size)));
		out.push(u32(type), u64(offset ?? BigInt(end)));
		const bytes = tensor.data ?? new Uint8Array(bytesOf(sizes, type));
		data.push(bytes, new Uint8Array(-bytes.length & (alignment - 1)));
		end += bytes.length + (-bytes.length & (alignment - 1));
	}
	const header = join(out);
	const padding = new Uint8Array(-header.length & (alignment - 1));
	return join([header, padding, ...data]);
}

export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
	return new Uint8Array(Buffer.concat(parts));
}

export function u32(value: number): Uint8Array {
	const bytes = new Uint8Array(4);
	new DataView(bytes.buffer).setUint32(0, value, true);
	return bytes;
}

export function u64(value: bigint): Uint8Array {
	const bytes = new Uint8Array(8);
	new DataView(bytes.buffer).setBigUint64(0, value, true);
	return bytes;
}

export function string(text: string): Uint8Array {
	const bytes = new TextEncoder().encode(text);
	return join([u64(BigInt(bytes.length)), bytes]);
}

function ascii(text: string): Uint8Array {
	return new TextEncoder().encode(text);
}

function bytesOf(sizes: readonly (number | bigint)[], type: number): number {
	const { block, bytes } = ggmlTypes.get(type) ?? { block: 1, bytes: 0 };
	const elements = sizes.reduce<number>((n, size) => n * Number(size), 1);
	// What a file claims beyond a megabyte is a lie that a test tells.
	return Math.min((elements / block) * bytes, 2 ** 20);
}

function encode(value: WriteValue): [type: number, bytes: Uint8Array] {
	if ("u8" in value) return [0, new Uint8Array([value.u8])];
	if ("u32" in value) return [4, u32(value.u32)];
	if ("i32" in value) return [5, u32(value.i32)];
	if ("f32" in value)
		return [6, new Uint8Array(new Float32Array([value.f32]).buffer)];
	if ("bool" in value) return [7, new Uint8Array([value.bool ? 1 : 0])];
	if ("string" in value) return [8, string(value.string)];
	if ("u64" in value) return [10, u64(value.u64)];
	if ("raw" in value) return [value.type, value.raw];
	const items = value.array.map(encode);
	const head = [u32(items[0]?.[0] ?? 8), u64(BigInt(items.length))];
	return [9, join([...head, ...items.map(([, bytes]) => bytes)])];
}
