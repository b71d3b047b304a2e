import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "./checkpoint.ts";
import { withoutOffset } from "./norm-offset.ts";
import { halfSplitRows } from "./rotary-rows.ts";

/** How the converter of an architecture writes its tensors. */
interface Naming {
	/** Modules of layer i, blk.{i}.X → model.layers.{i}.Y */
	readonly layer: Readonly<Record<string, string>>;
	/** The halves of q and k heads are interleaved. */
	readonly interleaved: boolean;
	/** Norm weights are stored plus one. */
	readonly normOffset: boolean;
}

const OUTER: Readonly<Record<string, string>> = {
	token_embd: "model.embed_tokens",
	output_norm: "model.norm",
	output: "lm_head",
};

const LAYER: Readonly<Record<string, string>> = {
	attn_norm: "input_layernorm",
	attn_q: "self_attn.q_proj",
	attn_k: "self_attn.k_proj",
	attn_v: "self_attn.v_proj",
	attn_output: "self_attn.o_proj",
	ffn_norm: "post_attention_layernorm",
	ffn_gate: "mlp.gate_proj",
	ffn_up: "mlp.up_proj",
	ffn_down: "mlp.down_proj",
};

const llama: Naming = { layer: LAYER, interleaved: true, normOffset: false };

/** By `general.architecture`. */
const namings: ReadonlyMap<string, Naming> = new Map([
	["llama", llama],
	["smollm3", llama],
	[
		"gemma3",
		{
			layer: {
				...LAYER,
				attn_q_norm: "self_attn.q_norm",
				attn_k_norm: "self_attn.k_norm",
				post_attention_norm: "post_attention_layernorm",
				ffn_norm: "pre_feedforward_layernorm",
				post_ffw_norm: "post_feedforward_layernorm",
			},
			interleaved: false,
			normOffset: true,
		},
	],
]);

/** Attention heads of the query and of the key projection. */
export interface Heads {
	readonly query: number | undefined;
	readonly key: number | undefined;
}

/**
 * The tensors of a GGUF file in Hugging Face terms. A tensor without a row above keeps its name and its bytes,
 * and so do all tensors of an architecture that is not listed.
 */
export function canonicalTensors(
	architecture: string,
	heads: Heads,
	stored: Iterable<StoredTensor>,
): Map<string, StoredTensor> {
	const naming = namings.get(architecture);
	const tensors = new Map<string, StoredTensor>();
	for (const tensor of stored) {
		const name = canonicalName(architecture, tensor.name);
		if (tensors.has(name))
			throw new CheckpointError(
				`${tensor.file}: tensor ${tensor.name} is a second ${name}`,
			);
		const values = naming ? undone(naming, name, heads, tensor) : tensor;
		tensors.set(name, { ...values, name });
	}
	return tensors;
}

/** A tensor's name in Hugging Face terms; the name it has where there is no other. */
export function canonicalName(architecture: string, name: string): string {
	const match = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name);
	const [, layer, module = "", kind] = match ?? [];
	const naming = namings.get(architecture);
	const table = layer === undefined ? OUTER : naming?.layer;
	if (!naming || !table || !Object.hasOwn(table, module)) return name;
	const path = layer === undefined ? "" : `model.layers.${layer}.`;
	return `${path}${table[module]}.${kind}`;
}

function undone(
	naming: Naming,
	name: string,
	heads: Heads,
	tensor: StoredTensor,
): StoredTensor {
	if (naming.normOffset && name.endsWith("norm.weight"))
		return withoutOffset(tensor);
	const projection = /\.([qk])_proj\.\w+$/.exec(name)?.[1];
	if (!naming.interleaved || !projection) return tensor;
	const count = projection === "q" ? heads.query : heads.key;
	if (count === undefined)
		throw new CheckpointError(
			`${tensor.file}: attention.head_count is missing, which the rows of ${tensor.name} are ordered by`,
		);
	return halfSplitRows(tensor, count);
}
