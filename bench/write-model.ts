/** Writes a GGUF file with the true shape of a model and random weights, for measurements: node scripts/run.mjs bench/write-model.ts FILE SHAPE MIX */

import {
	type FileTensor,
	type FileValue,
	values,
	writeGguf,
} from "./gguf-file.ts";
import { blockType, type MixName, typeIn } from "./mixes.ts";
import {
	matrices,
	norms,
	type Shape,
	type ShapeName,
	shapes,
} from "./shapes.ts";
import { makeVocabulary } from "./vocabulary.ts";

/** tokenizer.ggml.token_type */
const NORMAL = 1;
const CONTROL = 3;

/** What stands around images in the prompts of those Gemma that see, by id. */
const IMAGE_TOKENS: ReadonlyMap<number, string> = new Map([
	[255_999, "<start_of_image>"],
	[256_000, "<end_of_image>"],
	[262_144, "<image_soft_token>"],
]);

const { flag, float, number, numbers, string, strings } = values;

function metadata(shape: Shape, name: string): [string, FileValue][] {
	const a = shape.architecture;
	return [
		["general.architecture", string(a)],
		["general.name", string(name)],
		[`${a}.block_count`, number(shape.num_hidden_layers)],
		[`${a}.context_length`, number(shape.max_position_embeddings)],
		[`${a}.embedding_length`, number(shape.hidden_size)],
		[`${a}.feed_forward_length`, number(shape.intermediate_size)],
		[`${a}.attention.head_count`, number(shape.num_attention_heads)],
		[`${a}.attention.head_count_kv`, number(shape.num_key_value_heads)],
		[`${a}.attention.layer_norm_rms_epsilon`, float(shape.rms_norm_eps)],
		[`${a}.rope.freq_base`, float(shape.rope_theta)],
		...(a === "gemma3" ? gemmaKeys(shape) : llamaKeys(shape)),
		...tokenizer(shape),
	];
}

const llamaKeys = (shape: Shape): [string, FileValue][] => [
	[`${shape.architecture}.rope.dimension_count`, number(shape.head_dim)],
	[`${shape.architecture}.vocab_size`, number(shape.vocab_size)],
];

const gemmaKeys = (shape: Shape): [string, FileValue][] => [
	["gemma3.attention.key_length", number(shape.head_dim)],
	["gemma3.attention.value_length", number(shape.head_dim)],
	["gemma3.attention.sliding_window", number(shape.sliding_window!)],
	...(shape.rope_factor
		? ([
				["gemma3.rope.scaling.type", string("linear")],
				["gemma3.rope.scaling.factor", float(shape.rope_factor)],
			] as [string, FileValue][])
		: []),
];

/** Byte pairs of plain letters, so that every program that reads the file can make a tokenizer of it. */
function tokenizer({ architecture, vocab_size }: Shape): [string, FileValue][] {
	const named = architecture === "gemma3" ? IMAGE_TOKENS : new Map();
	const { tokens: made, merges } = makeVocabulary(vocab_size);
	const tokens = [...made];
	const types = new Array<number>(vocab_size).fill(NORMAL);
	for (const [id, token] of named)
		if (id < vocab_size) {
			tokens[id] = token;
			types[id] = CONTROL;
		}
	const pre = architecture === "smollm3" ? "smaug-bpe" : "smollm";
	return [
		["tokenizer.ggml.model", string("gpt2")],
		["tokenizer.ggml.pre", string(pre)],
		["tokenizer.ggml.tokens", strings(tokens)],
		["tokenizer.ggml.token_type", numbers(types)],
		["tokenizer.ggml.merges", strings(merges)],
		["tokenizer.ggml.bos_token_id", number(1)],
		["tokenizer.ggml.eos_token_id", number(2)],
		["tokenizer.ggml.add_bos_token", flag(false)],
	];
}

export async function writeModel(
	path: string,
	shape: Shape,
	mix: MixName,
): Promise<void> {
	const tensors: FileTensor[] = [
		...matrices(shape).map(([name, n, k]) => ({
			name,
			sizes: [k, n],
			type: typeIn(mix, shape, name, k),
		})),
		...norms(shape).map(([name, n]) => ({
			name,
			sizes: [n],
			type: blockType("F32"),
			value: 1,
		})),
	];
	await writeGguf(path, metadata(shape, `random ${mix}`), tensors);
}

const [, program, path, shapeName, mix] = process.argv;
if (program?.endsWith("write-model.ts") && path && shapeName && mix)
	await writeModel(path, shapes[shapeName as ShapeName], mix as MixName);
