/**
 * Writes a checkpoint with the true shape of a model and random weights, in torchao's INT8-INT4 form ("8da4w"):
 * node scripts/run.mjs bench/write-torchao.ts FOLDER SHAPE. Embeddings are int8 per row; all else, the output too, is int4 in
 * groups of 32, multiplied by inputs in int8 per token.
 */
import { once } from "node:events";
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Shape, type ShapeName, shapes } from "./shapes.ts";

const GROUP = 32;
/** Random bytes that are repeated all over: about as long as fits into a cache. */
const PATTERN_BYTES = 999_983;
/** 2^-8 as bf16: a sane size for products of some hundred weights up to 8. */
const SCALE = 0x3b80;

interface Tensor {
	readonly name: string;
	readonly dtype: "I8" | "BF16" | "F32";
	readonly shape: readonly [number, number] | readonly [number];
	/** Bytes that are repeated until the tensor is full. */
	readonly pattern: Uint8Array;
}

function codes(bits: number): Uint8Array {
	let state = 12345;
	return Uint8Array.from({ length: PATTERN_BYTES }, () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return ((state >>> 16) % 2 ** bits) - 2 ** (bits - 1);
	});
}

const patterns = {
	4: codes(4),
	8: codes(8),
	scale: new Uint8Array(new Uint16Array(4096).fill(SCALE).buffer),
	zero: new Uint8Array(4096),
	one: new Uint8Array(new Float32Array(1024).fill(1).buffer),
};

/** Hugging Face's name, rows and columns of every matrix but the embedding. */
function* linears(shape: Shape): Generator<[string, number, number]> {
	const D = shape.hidden_size;
	const F = shape.intermediate_size;
	const q = shape.num_attention_heads * shape.head_dim;
	const kv = shape.num_key_value_heads * shape.head_dim;
	for (let i = 0; i < shape.num_hidden_layers; i++) {
		const layer = `model.layers.${i}`;
		yield [`${layer}.self_attn.q_proj`, q, D];
		yield [`${layer}.self_attn.k_proj`, kv, D];
		yield [`${layer}.self_attn.v_proj`, kv, D];
		yield [`${layer}.self_attn.o_proj`, D, q];
		yield [`${layer}.mlp.gate_proj`, F, D];
		yield [`${layer}.mlp.up_proj`, F, D];
		yield [`${layer}.mlp.down_proj`, D, F];
	}
	yield ["lm_head", shape.vocab_size, D];
}

/** The tensors of one matrix in torchao's naming, and what its metadata say of them. */
function quantized(
	name: string,
	n: number,
	k: number,
	bits: 4 | 8,
	block: number,
) {
	const stem = `${name}._weight`;
	const perBlock = [n, k / block] as const;
	const tensors: Tensor[] = [
		{
			name: `${stem}_qdata`,
			dtype: "I8",
			shape: [n, k],
			pattern: patterns[bits],
		},
		{
			name: `${stem}_scale`,
			dtype: "BF16",
			shape: perBlock,
			pattern: patterns.scale,
		},
		{
			name: `${stem}_zero_point`,
			dtype: "I8",
			shape: perBlock,
			pattern: patterns.zero,
		},
	];
	const about = {
		_type: "IntxUnpackedToInt8Tensor",
		_data: {
			target_dtype: { _type: "torch.dtype", _data: `int${bits}` },
			block_size: [1, block],
			dtype: { _type: "torch.dtype", _data: "bfloat16" },
			activation_quantization: bits === 4 ? "int8_asym_per_token" : null,
		},
	};
	return { tensors, about: [`${name}.weight`, about] as const };
}

const bytesOf = ({ dtype, shape }: Tensor) =>
	shape.reduce((a, b) => a * b, { I8: 1, BF16: 2, F32: 4 }[dtype]);

export async function writeTorchao(
	folder: string,
	shapeName: ShapeName,
): Promise<void> {
	const shape: Shape = shapes[shapeName];
	const D = shape.hidden_size;
	const matrices = [
		quantized("model.embed_tokens", shape.vocab_size, D, 8, D),
		...[...linears(shape)].map(([name, n, k]) =>
			quantized(name, n, k, 4, GROUP),
		),
	];
	const norms = ["model.norm.weight"];
	for (let i = 0; i < shape.num_hidden_layers; i++)
		norms.push(
			`model.layers.${i}.input_layernorm.weight`,
			`model.layers.${i}.post_attention_layernorm.weight`,
		);
	const tensors: Tensor[] = [
		...matrices.flatMap((m) => m.tensors),
		...norms.map(
			(name): Tensor => ({
				name,
				dtype: "F32",
				shape: [D],
				pattern: patterns.one,
			}),
		),
	];
	const abouts = new Map<string, unknown>([
		...matrices.map((m) => m.about),
		...norms.map((name) => [name, { _type: "Tensor" }] as const),
	]);
	mkdirSync(folder, { recursive: true });
	const { architecture, ...sizes } = shape;
	const config = {
		...sizes,
		architectures: [
			architecture === "smollm3" ? "SmolLM3ForCausalLM" : "LlamaForCausalLM",
		],
		model_type: architecture,
		max_position_embeddings: 8192,
		hidden_act: "silu",
		tie_word_embeddings: false,
		quantization_config: { quant_method: "torchao" },
	};
	writeFileSync(
		join(folder, "config.json"),
		JSON.stringify(config, null, "\t"),
	);

	const header: Record<string, unknown> = {
		__metadata__: {
			...Object.fromEntries(
				[...abouts].map(([name, about]) => [name, JSON.stringify(about)]),
			),
			tensor_names: JSON.stringify([...abouts.keys()]),
		},
	};
	let end = 0;
	for (const tensor of tensors) {
		const { name, dtype, shape } = tensor;
		const start = end;
		end += bytesOf(tensor);
		header[name] = { dtype, shape, data_offsets: [start, end] };
	}
	const text = Buffer.from(JSON.stringify(header));
	const json = Buffer.concat([text, Buffer.alloc(-text.length & 7, " ")]);
	const file = createWriteStream(join(folder, "model.safetensors"));
	const write = async (bytes: Uint8Array) => {
		if (!file.write(bytes)) await once(file, "drain");
	};
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(json.length));
	await write(length);
	await write(json);
	for (const tensor of tensors) {
		const { pattern } = tensor;
		for (let left = bytesOf(tensor); left > 0; left -= pattern.length)
			await write(pattern.subarray(0, Math.min(pattern.length, left)));
	}
	file.end();
	await once(file, "finish");
}

const [, program, folder, shapeName] = process.argv;
if (program?.endsWith("write-torchao.ts") && folder && shapeName)
	await writeTorchao(folder, shapeName as ShapeName);
