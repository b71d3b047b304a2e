import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { GgufMetadata } from "./gguf-metadata.ts";
import { excerpt } from "./json.ts";

/** What the tensors of a GGUF file say about its model, which its metadata does not. */
export interface TensorFacts {
	/** Rows of the token embedding. */
	readonly vocabulary: number | undefined;
	readonly tied: boolean | undefined;
	readonly attentionBias: boolean;
	readonly mlpBias: boolean;
	/** rope_freqs.weight: what each rotary frequency is divided by. */
	readonly divisors: readonly number[] | undefined;
}

type Config = Record<string, unknown>;

/** llama.cpp's value where a file has no rope.freq_base, and for Gemma's sliding layers where it has no rope.freq_base_swa. */
const DEFAULT_ROPE_THETA = 10_000;
/** llama.cpp has these in its model files; no key can say otherwise. */
const SMOLLM3_NO_ROPE_INTERVAL = 4;
const GEMMA3_FULL_ATTENTION_INTERVAL = 6;
/** The one Gemma 3 whose query scale is not its head size: 27B, known by its layers. */
const GEMMA3_27B_LAYERS = 62;

/** Keys of one architecture, `<architecture>.<key>`, checked. */
export interface Keys {
	number(key: string): number | undefined;
	text(key: string): string | undefined;
	list(key: string): readonly unknown[] | undefined;
}

export function keysOf(
	metadata: GgufMetadata,
	prefix: string,
	file: string,
): Keys {
	const fail = (key: string, value: unknown, expected: string) =>
		new CheckpointError(
			`${file}: metadata ${prefix}${key} is ${excerpt(value)}, ${expected} was expected`,
		);
	const get = (key: string) => metadata.get(prefix + key);
	return {
		number(key) {
			const value = get(key);
			// Some values may be given per layer; the models read here have the same in all.
			const one = Array.isArray(value) ? value[0] : value;
			if (Array.isArray(value) && value.some((item) => item !== one))
				throw new UnsupportedError(
					`${file}: metadata ${prefix}${key} differs between layers: ${excerpt(value)}`,
				);
			if (one !== undefined && typeof one !== "number")
				throw fail(key, value, "a number");
			return one;
		},
		text(key) {
			const value = get(key);
			if (value !== undefined && typeof value !== "string")
				throw fail(key, value, "a string");
			return value;
		},
		list(key) {
			const value = get(key);
			return Array.isArray(value) ? value : undefined;
		},
	};
}

/**
 * config.json as the metadata of a GGUF file has it: Hugging Face's keys, without those the file does not know.
 * One value of `rope_scaling` is this library's own: `{ rope_type: "divisors", divisors: number[] }`, a divisor for
 * each of the head_dim/2 rotary frequencies, as llama.cpp's converter computes them from llama3 scaling.
 */
export function configOf(
	architecture: string,
	metadata: GgufMetadata,
	facts: TensorFacts,
	file: string,
): Readonly<Config> {
	const keys = keysOf(metadata, `${architecture}.`, file);
	const write = writers.get(architecture);
	return defined(
		write
			? { ...common(keys, metadata, facts, file), ...write(keys, facts) }
			: { model_type: architecture },
	);
}

type Writer = (keys: Keys, facts: TensorFacts) => Config;

/** What one architecture adds, by `general.architecture`. */
const writers: ReadonlyMap<string, Writer> = new Map<string, Writer>([
	[
		"llama",
		(keys, facts) => ({
			// Mixtral is converted as "llama" with experts.
			...((keys.number("expert_count") ?? 0) > 0
				? { model_type: "mixtral", architectures: ["MixtralForCausalLM"] }
				: { model_type: "llama", architectures: ["LlamaForCausalLM"] }),
			hidden_act: "silu",
			rope_scaling: ropeScaling(keys, facts),
		}),
	],
	[
		"smollm3",
		(keys, facts) => ({
			model_type: "smollm3",
			architectures: ["SmolLM3ForCausalLM"],
			hidden_act: "silu",
			rope_scaling: ropeScaling(keys, facts),
			no_rope_layer_interval: SMOLLM3_NO_ROPE_INTERVAL,
			use_sliding_window: false,
			sliding_window: null,
		}),
	],
	[
		"gemma3",
		(keys, facts) => ({
			model_type: "gemma3_text",
			architectures: ["Gemma3ForCausalLM"],
			hidden_activation: "gelu_pytorch_tanh",
			rope_scaling: ropeScaling(keys, facts),
			rope_local_base_freq:
				keys.number("rope.freq_base_swa") ?? DEFAULT_ROPE_THETA,
			query_pre_attn_scalar:
				keys.number("block_count") === GEMMA3_27B_LAYERS
					? hiddenPerHead(keys)
					: headDim(keys),
			sliding_window: keys.number("attention.sliding_window"),
			...slidingLayers(keys),
			final_logit_softcapping: keys.number("final_logit_softcapping") ?? null,
			attn_logit_softcapping: null,
		}),
	],
]);

function common(
	keys: Keys,
	metadata: GgufMetadata,
	facts: TensorFacts,
	file: string,
): Config {
	const head = headDim(keys);
	const value = keys.number("attention.value_length");
	if (value !== undefined && value !== head)
		throw new UnsupportedError(
			`${file}: attention.value_length is ${value}, keys have ${head}; values of another size are not supported`,
		);
	const rotary = keys.number("rope.dimension_count");
	const tokens = keysOf(metadata, "tokenizer.ggml.", file);
	return {
		vocab_size:
			facts.vocabulary ??
			keys.number("vocab_size") ??
			tokens.list("tokens")?.length,
		hidden_size: keys.number("embedding_length"),
		intermediate_size: keys.number("feed_forward_length"),
		num_hidden_layers: keys.number("block_count"),
		num_attention_heads: keys.number("attention.head_count"),
		num_key_value_heads: keyHeads(keys),
		head_dim: head,
		max_position_embeddings: keys.number("context_length"),
		rms_norm_eps: keys.number("attention.layer_norm_rms_epsilon"),
		rope_theta: keys.number("rope.freq_base") ?? DEFAULT_ROPE_THETA,
		partial_rotary_factor:
			rotary !== undefined && head !== undefined && rotary !== head
				? rotary / head
				: undefined,
		attention_bias: facts.attentionBias,
		mlp_bias: facts.mlpBias,
		tie_word_embeddings: facts.tied,
	};
}

/** Absent means as many as query heads. */
export function keyHeads(keys: Keys): number | undefined {
	return (
		keys.number("attention.head_count_kv") ??
		keys.number("attention.head_count")
	);
}

function headDim(keys: Keys): number | undefined {
	return keys.number("attention.key_length") ?? hiddenPerHead(keys);
}

function hiddenPerHead(keys: Keys): number | undefined {
	const hidden = keys.number("embedding_length");
	const heads = keys.number("attention.head_count");
	return hidden === undefined || heads === undefined
		? undefined
		: hidden / heads;
}

function ropeScaling(keys: Keys, facts: TensorFacts): Config | null {
	if (facts.divisors)
		return { rope_type: "divisors", divisors: facts.divisors };
	const legacy = keys.number("rope.scale_linear");
	const factor = keys.number("rope.scaling.factor") ?? legacy;
	const type =
		keys.text("rope.scaling.type") ??
		(legacy === undefined ? "none" : "linear");
	if (type === "none") return null;
	return defined({
		rope_type: type,
		factor,
		original_max_position_embeddings: keys.number(
			"rope.scaling.original_context_length",
		),
		attention_factor: keys.number("rope.scaling.yarn_attn_factor"),
		beta_fast: keys.number("rope.scaling.yarn_beta_fast"),
		beta_slow: keys.number("rope.scaling.yarn_beta_slow"),
	});
}

/** Every n-th layer attends to all positions, or a flag per layer says which ones slide. */
function slidingLayers(keys: Keys): Config {
	const flags = keys.list("attention.sliding_window_pattern");
	if (flags)
		return {
			layer_types: flags.map((slides) =>
				slides ? "sliding_attention" : "full_attention",
			),
		};
	return {
		sliding_window_pattern:
			keys.number("attention.sliding_window_pattern") ??
			GEMMA3_FULL_ATTENTION_INTERVAL,
	};
}

/** Without the keys whose value is not known. */
export function defined(config: Config): Config {
	return Object.fromEntries(
		Object.entries(config).filter(([, value]) => value !== undefined),
	);
}
