/** Writes a GGUF file with the true shape of a model and random weights, for measurements: node scripts/run.mjs bench/write-model.ts FILE SHAPE MIX */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { type BlockType, blockTypes, type MixName, typeIn } from "./mixes.ts";
import { matrices, type Shape, type ShapeName, shapes } from "./shapes.ts";

const ALIGNMENT = 32;
/** Random bytes that are repeated all over: about as long as fits into a cache, and of odd length in blocks. */
const PATTERN_BLOCKS = 4099;

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
const list = (type: number, items: Uint8Array[]) =>
	Buffer.concat([u32(9), u32(type), u64(items.length), ...items]);

function metadata(shape: Shape, name: string): [string, Uint8Array][] {
	const a = shape.architecture;
	const number = (value: number) => Buffer.concat([u32(4), u32(value)]);
	const float = (value: number) => Buffer.concat([u32(6), f32(value)]);
	const string = (value: string) => Buffer.concat([u32(8), text(value)]);
	const flag = (value: boolean) =>
		Buffer.concat([u32(7), Uint8Array.of(value ? 1 : 0)]);
	// Plain letters, so that every program that reads the file can make a tokenizer of it.
	const tokens = Array.from({ length: shape.vocab_size }, (_, i) =>
		i < 94 ? String.fromCharCode(33 + i) : i === 94 ? "!!" : `t${i}`,
	);
	return [
		["general.architecture", string(a)],
		["general.name", string(name)],
		[`${a}.block_count`, number(shape.num_hidden_layers)],
		[`${a}.context_length`, number(8192)],
		[`${a}.embedding_length`, number(shape.hidden_size)],
		[`${a}.feed_forward_length`, number(shape.intermediate_size)],
		[`${a}.attention.head_count`, number(shape.num_attention_heads)],
		[`${a}.attention.head_count_kv`, number(shape.num_key_value_heads)],
		[`${a}.attention.layer_norm_rms_epsilon`, float(shape.rms_norm_eps)],
		[`${a}.rope.dimension_count`, number(shape.head_dim)],
		[`${a}.rope.freq_base`, float(shape.rope_theta)],
		[`${a}.vocab_size`, number(shape.vocab_size)],
		["tokenizer.ggml.model", string("gpt2")],
		["tokenizer.ggml.pre", string(a === "smollm3" ? "smaug-bpe" : "smollm")],
		["tokenizer.ggml.tokens", list(8, tokens.map(text))],
		[
			"tokenizer.ggml.token_type",
			list(
				5,
				tokens.map(() => u32(1)),
			),
		],
		["tokenizer.ggml.merges", list(8, [text("! !")])],
		["tokenizer.ggml.bos_token_id", number(1)],
		["tokenizer.ggml.eos_token_id", number(2)],
		["tokenizer.ggml.add_bos_token", flag(false)],
	];
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

export async function writeModel(
	path: string,
	shapeName: ShapeName,
	mix: MixName,
): Promise<void> {
	const shape: Shape = shapes[shapeName];
	const norms = ["output_norm.weight"];
	for (let i = 0; i < shape.num_hidden_layers; i++)
		norms.push(`blk.${i}.attn_norm.weight`, `blk.${i}.ffn_norm.weight`);
	const tensors = [
		...matrices(shape).map(([name, n, k]) => ({
			name,
			sizes: [k, n],
			type: blockTypes[typeIn(mix, shape, name, k)] as BlockType,
		})),
		...norms.map((name) => ({
			name,
			sizes: [shape.hidden_size],
			type: blockTypes.F32 as BlockType,
		})),
	];
	const keys = metadata(shape, `${shapeName} ${mix}, random`);
	const head: Uint8Array[] = [
		new TextEncoder().encode("GGUF"),
		u32(3),
		u64(tensors.length),
		u64(keys.length),
	];
	for (const [key, value] of keys) head.push(text(key), value);
	let offset = 0;
	const padded = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
	const sizeOf = (t: (typeof tensors)[number]) =>
		(t.sizes.reduce((a, b) => a * b, 1) / t.type.elements) * t.type.bytes;
	for (const tensor of tensors) {
		head.push(
			text(tensor.name),
			u32(tensor.sizes.length),
			...tensor.sizes.map(u64),
			u32(tensor.type.id),
			u64(offset),
		);
		offset += padded(sizeOf(tensor));
	}
	const file = createWriteStream(path);
	const write = async (bytes: Uint8Array) => {
		if (!file.write(bytes)) await once(file, "drain");
	};
	const header = Buffer.concat(head);
	await write(header);
	await write(new Uint8Array(padded(header.length) - header.length));
	const patterns = new Map<BlockType, Uint8Array>();
	for (const tensor of tensors) {
		const bytes = patterns.get(tensor.type) ?? pattern(tensor.type);
		patterns.set(tensor.type, bytes);
		const size = sizeOf(tensor);
		if (tensor.sizes.length === 1) {
			await write(new Uint8Array(new Float32Array(size / 4).fill(1).buffer));
		} else {
			for (let done = 0; done < size; done += bytes.length)
				await write(bytes.subarray(0, Math.min(bytes.length, size - done)));
		}
		await write(new Uint8Array(padded(size) - size));
	}
	file.end();
	await once(file, "finish");
}

const [, program, path, shapeName, mix] = process.argv;
if (program?.endsWith("write-model.ts") && path && shapeName && mix)
	await writeModel(path, shapeName as ShapeName, mix as MixName);
