/** Sizes of a model, in config.json's words. */
export interface Shape {
	readonly architecture: "llama" | "smollm3" | "gemma3";
	readonly hidden_size: number;
	readonly intermediate_size: number;
	readonly num_hidden_layers: number;
	readonly num_attention_heads: number;
	readonly num_key_value_heads: number;
	readonly head_dim: number;
	readonly vocab_size: number;
	readonly rope_theta: number;
	readonly rms_norm_eps: number;
	readonly max_position_embeddings: number;
	/** How far back five of six layers look. */
	readonly sliding_window?: number;
	/** What positions are divided by in the layers that see everything. */
	readonly rope_factor?: number;
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
		max_position_embeddings: 8192,
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
		max_position_embeddings: 8192,
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
		max_position_embeddings: 8192,
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
		max_position_embeddings: 65536,
	},
	"gemma-3-270m": {
		architecture: "gemma3",
		hidden_size: 640,
		intermediate_size: 2048,
		num_hidden_layers: 18,
		num_attention_heads: 4,
		num_key_value_heads: 1,
		head_dim: 256,
		vocab_size: 262_144,
		rope_theta: 1_000_000,
		rms_norm_eps: 1e-6,
		max_position_embeddings: 32768,
		sliding_window: 512,
	},
	"gemma-3-1b-it": {
		architecture: "gemma3",
		hidden_size: 1152,
		intermediate_size: 6912,
		num_hidden_layers: 26,
		num_attention_heads: 4,
		num_key_value_heads: 1,
		head_dim: 256,
		vocab_size: 262_144,
		rope_theta: 1_000_000,
		rms_norm_eps: 1e-6,
		max_position_embeddings: 32768,
		sliding_window: 512,
	},
	"gemma-3-4b-it": {
		architecture: "gemma3",
		hidden_size: 2560,
		intermediate_size: 10240,
		num_hidden_layers: 34,
		num_attention_heads: 8,
		num_key_value_heads: 4,
		head_dim: 256,
		vocab_size: 262_208,
		rope_theta: 1_000_000,
		rms_norm_eps: 1e-6,
		max_position_embeddings: 131_072,
		sliding_window: 1024,
		rope_factor: 8,
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

/** GGUF's name and length of every norm, in file order. */
export function norms(shape: Shape): [name: string, n: number][] {
	const D = shape.hidden_size;
	const perLayer: [string, number][] =
		shape.architecture === "gemma3"
			? [
					["attn_norm", D],
					["attn_q_norm", shape.head_dim],
					["attn_k_norm", shape.head_dim],
					["post_attention_norm", D],
					["ffn_norm", D],
					["post_ffw_norm", D],
				]
			: [
					["attn_norm", D],
					["ffn_norm", D],
				];
	const all: [string, number][] = [["output_norm.weight", D]];
	for (let i = 0; i < shape.num_hidden_layers; i++)
		for (const [name, n] of perLayer) all.push([`blk.${i}.${name}.weight`, n]);
	return all;
}
