// The embedded model as a GGUF file of any block type, with llama.cpp's names and its order of query and key rows.
import { readFileSync } from "node:fs";
import { ggmlTypes } from "../src/formats/gguf-types.ts";
import { nanoWeights } from "./quantized-nano.ts";
import { f16Bits, ggmlQuantizers, quantizeGgml } from "./quantizers-ggml.ts";
import { type WriteTensor, type WriteValue, writeGguf } from "./write-gguf.ts";

const folder = new URL("../models/nano-smollm3/", import.meta.url);
const text = (file: string) => readFileSync(new URL(file, folder), "utf8");

const NAMES: Readonly<Record<string, string>> = {
	"self_attn.q_proj": "attn_q",
	"self_attn.k_proj": "attn_k",
	"self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output",
	"mlp.gate_proj": "ffn_gate",
	"mlp.up_proj": "ffn_up",
	"mlp.down_proj": "ffn_down",
	input_layernorm: "attn_norm",
	post_attention_layernorm: "ffn_norm",
};
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;

/**
 * A file whose matrices are of one type: a block type, "F32", "F16" or "BF16". Those whose names do not match `which` are
 * BF16, and norms F32.
 */
export async function nanoGguf(type: string, which = /./): Promise<Uint8Array> {
	const config = JSON.parse(text("config.json"));
	const tensors: WriteTensor[] = [];
	for (const [name, { shape, values }] of await nanoWeights()) {
		const matrix = shape.length > 1;
		const heads = name.includes("q_proj")
			? config.num_attention_heads
			: config.num_key_value_heads;
		const rotated = /[qk]_proj/.test(name);
		const ordered = rotated ? interleaved(values, shape, heads) : values;
		const own = !matrix ? "F32" : which.test(name) ? type : "BF16";
		tensors.push({
			name: ggufName(name),
			sizes: shape.toReversed(),
			type: typeNumber(own),
			data: encoded(own, ordered),
		});
	}
	return writeGguf({ keys: keysOf(config), tensors });
}

function ggufName(name: string): string {
	if (name === "model.embed_tokens.weight") return "token_embd.weight";
	if (name === "model.norm.weight") return "output_norm.weight";
	const [, layer, module] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name)!;
	return `blk.${layer}.${NAMES[module!]}.weight`;
}

/** Rows 2i and 2i + 1 of a head are its old rows i and i + half: llama.cpp rotates adjacent pairs. */
function interleaved(
	values: Float32Array,
	[rows = 0, cols = 0]: readonly number[],
	heads: number,
): Float32Array {
	const out = new Float32Array(values.length);
	const size = rows / heads;
	for (let row = 0; row < rows; row++) {
		const [head, within] = [Math.floor(row / size), row % size];
		const from = head * size + (within >> 1) + (within & 1) * (size / 2);
		out.set(values.subarray(from * cols, (from + 1) * cols), row * cols);
	}
	return out;
}

/** As f16, by the bits of what is bf16: those that were met. */
const halves: number[] = [];

function encoded(type: string, values: Float32Array): Uint8Array {
	if (type === "F32") return bytesOf(values);
	if (type !== "F16" && type !== "BF16") return quantizeGgml(type, values);
	const { buffer, byteOffset, length } = values;
	const words = new Uint32Array(buffer, byteOffset, length);
	const bits = new Uint16Array(length);
	for (let i = 0; i < length; i++) {
		const own = words[i]! >>> 16; // the model is bf16
		if (type === "F16") halves[own] ??= f16Bits(values[i]!);
		bits[i] = type === "F16" ? halves[own]! : own;
	}
	return bytesOf(bits);
}

function typeNumber(type: string): number {
	for (const [number, { name }] of ggmlTypes) if (name === type) return number;
	throw new Error(`no type ${type}; there are ${Object.keys(ggmlQuantizers)}`);
}

function keysOf(config: Record<string, number>): [string, WriteValue][] {
	const { model, added_tokens } = JSON.parse(text("tokenizer.json"));
	const tokens = new Array<string>(config.vocab_size!);
	const kinds = tokens.fill("").map(() => NORMAL);
	for (const [token, id] of Object.entries<number>(model.vocab)) {
		tokens[id] = token;
	}
	for (const { id, content, special } of added_tokens) {
		tokens[id] = content;
		kinds[id] = special ? CONTROL : USER_DEFINED;
	}
	const merges = model.merges.map((merge: string | string[]) =>
		Array.isArray(merge) ? merge.join(" ") : merge,
	);
	const strings = (list: string[]) => list.map((string) => ({ string }));
	const key = (name: string, value: WriteValue): [string, WriteValue] => [
		`smollm3.${name}`,
		value,
	];
	const size = (name: string) => ({ u32: config[name]! });
	return [
		["general.architecture", { string: "smollm3" }],
		["general.name", { string: "nano" }],
		key("context_length", size("max_position_embeddings")),
		key("embedding_length", size("hidden_size")),
		key("block_count", size("num_hidden_layers")),
		key("feed_forward_length", size("intermediate_size")),
		key("attention.head_count", size("num_attention_heads")),
		key("attention.head_count_kv", size("num_key_value_heads")),
		key("attention.layer_norm_rms_epsilon", { f32: config.rms_norm_eps! }),
		key("rope.freq_base", { f32: config.rope_theta! }),
		key("rope.dimension_count", { u32: 64 }),
		key("vocab_size", size("vocab_size")),
		["tokenizer.ggml.model", { string: "gpt2" }],
		["tokenizer.ggml.pre", { string: "llama-bpe" }],
		["tokenizer.ggml.tokens", { array: strings(tokens) }],
		["tokenizer.ggml.token_type", { array: kinds.map((i32) => ({ i32 })) }],
		["tokenizer.ggml.merges", { array: strings(merges) }],
		["tokenizer.ggml.bos_token_id", size("bos_token_id")],
		["tokenizer.ggml.eos_token_id", size("eos_token_id")],
		["tokenizer.ggml.padding_token_id", size("pad_token_id")],
		["tokenizer.ggml.add_bos_token", { bool: false }],
		["tokenizer.chat_template", { string: text("chat_template.jinja") }],
	];
}

function bytesOf(view: ArrayBufferView): Uint8Array {
	return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
