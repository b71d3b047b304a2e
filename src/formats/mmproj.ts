import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "./checkpoint.ts";
import type { Keys } from "./gguf-config.ts";
import { withoutOffset } from "./norm-offset.ts";

// The half of a model that sees is a GGUF file of its own, "mmproj-….gguf", of the architecture "clip".

const PROJECTOR = "gemma3";
const SOFT_TOKEN = "<image_soft_token>";
const TOWER = "vision_tower.vision_model";

/** Hugging Face's names, without ".weight" and ".bias". */
const OUTER: Readonly<Record<string, string>> = {
	"v.patch_embd": `${TOWER}.embeddings.patch_embedding`,
	"v.position_embd": `${TOWER}.embeddings.position_embedding`,
	"v.post_ln": `${TOWER}.post_layernorm`,
	"mm.soft_emb_norm": "multi_modal_projector.mm_soft_emb_norm",
};

/** v.blk.{i}.X → layers.{i}.Y */
const LAYER: Readonly<Record<string, string>> = {
	ln1: "layer_norm1",
	ln2: "layer_norm2",
	attn_q: "self_attn.q_proj",
	attn_k: "self_attn.k_proj",
	attn_v: "self_attn.v_proj",
	attn_out: "self_attn.out_proj",
	ffn_up: "mlp.fc1",
	ffn_down: "mlp.fc2",
};

/** config.json's `vision_config` and what stands beside it. Throws UnsupportedError for other models' projectors. */
export function mmprojConfig(
	keys: Keys,
	file: string,
): Readonly<Record<string, unknown>> {
	const projector =
		keys.text("projector_type") ?? keys.text("vision.projector_type");
	if (projector !== PROJECTOR)
		throw new UnsupportedError(
			`${file}: clip.projector_type is ${JSON.stringify(projector)}, expected "${PROJECTOR}"`,
		);
	const size = (key: string): number => {
		const value = keys.number(`vision.${key}`);
		if (value === undefined)
			throw new CheckpointError(`${file}: clip.vision.${key} is missing`);
		return value;
	};
	const [pixels, patch] = [size("image_size"), size("patch_size")];
	const side = Math.floor(pixels / patch);
	const pool = keys.number("vision.projector.scale_factor") ?? 4;
	return {
		mm_tokens_per_image: Math.floor(side / pool) ** 2,
		vision_config: {
			image_size: pixels,
			patch_size: patch,
			hidden_size: size("embedding_length"),
			intermediate_size: size("feed_forward_length"),
			num_hidden_layers: size("block_count"),
			num_attention_heads: size("attention.head_count"),
			layer_norm_eps: size("attention.layer_norm_epsilon"),
			// What the file calls GELU is its tanh form.
			hidden_act: "gelu_pytorch_tanh",
		},
		preprocessor_config: {
			image_mean: keys.list("vision.image_mean"),
			image_std: keys.list("vision.image_std"),
		},
	};
}

/** The tensors in Hugging Face terms; one that is not known keeps its name. */
export function mmprojTensors(
	stored: ReadonlyMap<string, StoredTensor>,
): Map<string, StoredTensor> {
	const swapped = hasSwappedNames(stored);
	const tensors = new Map<string, StoredTensor>();
	for (const tensor of stored.values()) {
		const name = canonicalName(tensor.name, swapped) ?? tensor.name;
		const isOnePlus = name.endsWith("mm_soft_emb_norm.weight");
		tensors.set(name, {
			...(isOnePlus ? withoutOffset(tensor) : tensor),
			name,
		});
	}
	return tensors;
}

function canonicalName(name: string, swapped: boolean): string | undefined {
	if (name === "mm.input_projection.weight")
		return "multi_modal_projector.mm_input_projection_weight";
	const [, outer = "", layer, inner = "", kind] =
		/^((?:v\.blk\.(\d+)\.(\w+))|[\w.]+)\.(weight|bias)$/.exec(name) ?? [];
	if (layer === undefined)
		return Object.hasOwn(OUTER, outer) ? `${OUTER[outer]}.${kind}` : undefined;
	if (!Object.hasOwn(LAYER, inner)) return undefined;
	const other = { ffn_up: "ffn_down", ffn_down: "ffn_up" }[inner];
	const module = LAYER[(swapped && other) || inner];
	return `${TOWER}.encoder.layers.${layer}.${module}.${kind}`;
}

/** Older converters called each of a layer's two feed-forward matrices by the other's name: then the input of "down" is as long as that of attention. */
function hasSwappedNames(stored: ReadonlyMap<string, StoredTensor>): boolean {
	const hidden = stored.get("v.blk.0.attn_q.weight")?.shape[1];
	const down = stored.get("v.blk.0.ffn_down.weight")?.shape;
	return down !== undefined && down[1] === hidden && down[0] !== hidden;
}

/** A text model and its mmproj file as the one checkpoint that they were made of. Closing it closes both. Throws CheckpointError where they are none. */
export function withVision(text: Checkpoint, mmproj: Checkpoint): Checkpoint {
	const { preprocessor_config, ...config } = mmproj.config;
	if (!config.vision_config)
		throw new CheckpointError(
			`${mmproj.name}: is no mmproj file: it has no vision tower`,
		);
	const image_token_index = softTokenId(text);
	const { eos_token_id, torch_dtype } = text.config;
	return {
		...text,
		config: {
			...config,
			architectures: ["Gemma3ForConditionalGeneration"],
			model_type: "gemma3",
			eos_token_id,
			torch_dtype,
			image_token_index,
			text_config: text.config,
		},
		origins: {
			...text.origins,
			config: `${text.name} and ${mmproj.origins.config}`,
			processor: mmproj.origins.processor,
		},
		processor: preprocessor_config as Readonly<Record<string, unknown>>,
		tensors: new Map([...text.tensors, ...mmproj.tensors]),
		async close() {
			await text.close();
			await mmproj.close();
		},
	};
}

/** The token in whose place an image's rows go. Early files end their vocabulary before it. */
function softTokenId({ name, tokenizer }: Checkpoint): number {
	const tokens =
		tokenizer?.kind === "gguf"
			? tokenizer.metadata.get("tokenizer.ggml.tokens")
			: undefined;
	const id = Array.isArray(tokens) ? tokens.indexOf(SOFT_TOKEN) : -1;
	if (id < 0)
		throw new UnsupportedError(
			`${name}: has no GGUF vocabulary with the token ${SOFT_TOKEN}, so there is no place for images`,
		);
	return id;
}
