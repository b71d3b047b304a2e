/** Sizes of a model, in config.json's words. */
export interface Shape {
	readonly architecture: "llama" | "smollm3";
	readonly hidden_size: number;
	readonly intermediate_size: number;
	readonly num_hidden_layers: number;
	readonly num_attention_heads: number;
	readonly num_key_value_heads: number;
	readonly head_dim: number;
	readonly vocab_size: number;
	readonly rope_theta: number;
	readonly rms_norm_eps: number;
}

/** The true shapes of the models that this library is for. All of them share the embedding with the output. */
export const shapes = {
	"SmolLM2-135M": {
		architecture: "llama",
		hidden_size: 576,
		intermediate_size: 1536,
		num_hidden_layers: 30,
		num_attention_heads: 9,
		num_key_value_heads: 3,
		head_dim: 64,
		vocab_size: 49152,
		rope_theta: 100_000,
		rms_norm_eps: 1e-5,
	},
	"SmolLM2-360M": {
		architecture: "llama",
		hidden_size: 960,
		intermediate_size: 2560,
		num_hidden_layers: 32,
		num_attention_heads: 15,
		num_key_value_heads: 5,
		head_dim: 64,
		vocab_size: 49152,
		rope_theta: 100_000,
		rms_norm_eps: 1e-5,
	},
	"SmolLM2-1.7B": {
		architecture: "llama",
		hidden_size: 2048,
		intermediate_size: 8192,
		num_hidden_layers: 24,
		num_attention_heads: 32,
		num_key_value_heads: 32,
		head_dim: 64,
		vocab_size: 49152,
		rope_theta: 130_000,
		rms_norm_eps: 1e-5,
	},
	"SmolLM3-3B": {
		architecture: "smollm3",
		hidden_size: 2048,
		intermediate_size: 11008,
		num_hidden_layers: 36,
		num_attention_heads: 16,
		num_key_value_heads: 4,
		head_dim: 128,
		vocab_size: 128256,
		rope_theta: 5_000_000,
		rms_norm_eps: 1e-6,
	},
} as const satisfies Record<string, Shape>;

export type ShapeName = keyof typeof shapes;

/** GGUF's name, rows and columns of every matrix, in file order. */
export function matrices(shape: Shape): [name: string, n: number, k: number][] {
	const D = shape.hidden_size;
	const F = shape.intermediate_size;
	const q = shape.num_attention_heads * shape.head_dim;
	const kv = shape.num_key_value_heads * shape.head_dim;
	const all: [string, number, number][] = [
		["token_embd.weight", shape.vocab_size, D],
	];
	for (let i = 0; i < shape.num_hidden_layers; i++)
		all.push(
			[`blk.${i}.attn_q.weight`, q, D],
			[`blk.${i}.attn_k.weight`, kv, D],
			[`blk.${i}.attn_v.weight`, kv, D],
			[`blk.${i}.attn_output.weight`, D, q],
			[`blk.${i}.ffn_gate.weight`, F, D],
			[`blk.${i}.ffn_up.weight`, F, D],
			[`blk.${i}.ffn_down.weight`, D, F],
		);
	return all;
}
