// The weights of a decoder that was found in an ExecuTorch program, under Hugging Face's names, as far as config.json agrees
// with what the program computes.
import { UnsupportedError } from "../errors.ts";
import type { Extent } from "./pte.ts";
import type { Decoder, DecoderLayer } from "./pte-decoder.ts";
import type { Linear, Operation, Value } from "./pte-flow.ts";
import { elementsOf } from "./stored.ts";

/** A weight by its name. Its bytes may be those of another one too: equal constants are stored once. */
export interface NamedConstant {
	readonly name: string;
	/** As the program has it; "embedding_byte" and "embedding_4bit" are codes of an embedding. */
	readonly type: string;
	readonly shape: readonly number[];
	readonly place: Extent;
	readonly groupSize: number;
	readonly scales?:
		| { readonly place: Extent; readonly type?: string }
		| undefined;
	/** All zero, or else the codes cannot be read. */
	readonly zeros?: Extent | undefined;
}

type Config = Readonly<Record<string, unknown>>;

const LLAMA = "LlamaForCausalLM";
const ARCHITECTURES = [LLAMA, "SmolLM3ForCausalLM"];
const QUANTIZED = ["qbint4", "qcint4", "qcint8"];
const FLOATS = ["F32", "F16", "BF16"];

function fail(what: string): never {
	throw new UnsupportedError(what);
}

/** Throws UnsupportedError where config.json says otherwise, and for what is computed in a way that has no name. */
export function nameWeights(decoder: Decoder, config: Config): NamedConstant[] {
	const { layers, head, norm, embedding } = decoder;
	checkConfig(decoder, config);
	const named: NamedConstant[] = [];
	const addLinear = (name: string, linear: Linear) => {
		const { weights, inputs, hasBias } = linear;
		const { type, shape, groupSize } = weights;
		const input = inputs[0]!.type;
		const expected = QUANTIZED.includes(type) ? ["qdint8"] : FLOATS;
		if (hasBias) fail(`${name} has a bias, expected none`);
		if (!QUANTIZED.includes(type) && !FLOATS.includes(type))
			fail(`${name} is stored as ${type}, which is not known`);
		if (!expected.includes(input))
			fail(
				`${name} is stored as ${type} and multiplied with an input of type ${input}, expected ${expected.join(" or ")}`,
			);
		const scales = weights.scales && { place: weights.scales };
		named.push({
			name: `${name}.weight`,
			...{ type, shape, groupSize, scales },
			place: weights.weights!,
		});
	};
	const addNorm = (name: string, { shape, type, constant }: Value) => {
		const elements = elementsOf(shape) ?? 0;
		if (!FLOATS.includes(type) || elements !== shape.at(-1))
			fail(`${name} is ${type} [${shape}], expected a vector of floats`);
		named.push({
			name: `${name}.weight`,
			...{ type, shape: [elements], groupSize: 0 },
			place: constant!,
		});
	};
	named.push(embeddingOf(embedding));
	for (const [i, layer] of layers.entries()) {
		const prefix = `model.layers.${i}`;
		addNorm(`${prefix}.input_layernorm`, layer.attentionNorm);
		for (const name of ["q", "k", "v", "o"] as const)
			addLinear(`${prefix}.self_attn.${name}_proj`, layer[name]);
		addNorm(`${prefix}.post_attention_layernorm`, layer.mlpNorm);
		for (const name of ["gate", "up", "down"] as const)
			addLinear(`${prefix}.mlp.${name}_proj`, layer[name]);
	}
	addNorm("model.norm", norm);
	addLinear("lm_head", head);
	return named;
}

/** What shapes of weights do not show: how many layers and heads there are, and which are rotated. */
function checkConfig({ layers }: Decoder, config: Config): void {
	const [architecture] = Array.isArray(config.architectures)
		? config.architectures
		: [];
	if (!ARCHITECTURES.includes(architecture))
		fail(
			`config.json says architectures ${JSON.stringify(config.architectures)}; what can be found in a program is ${ARCHITECTURES.join(" or ")}`,
		);
	const agree = (key: string, says: unknown, computes: unknown, where = "") => {
		if (JSON.stringify(says) !== JSON.stringify(computes))
			fail(
				`config.json says ${key} ${JSON.stringify(says)}, the program computes ${JSON.stringify(computes)}${where}`,
			);
	};
	agree("num_hidden_layers", config.num_hidden_layers, layers.length);
	const { num_attention_heads: all, num_key_value_heads = all } = config;
	const size = config.head_dim ?? Number(config.hidden_size) / Number(all);
	for (const [i, { heads, groups, headSize }] of layers.entries()) {
		const where = ` in layer ${i}`;
		agree("num_attention_heads", all, heads, where);
		agree("num_key_value_heads", num_key_value_heads, groups, where);
		agree("head_dim", size, headSize, where);
	}
	const { no_rope_layers = architecture === LLAMA && layers.map(() => 1) } =
		config;
	if (no_rope_layers)
		agree("no_rope_layers", no_rope_layers, rotationsOf(layers));
}

/** 1 for layers whose queries and keys are rotated, 0 for others. */
const rotationsOf = (layers: readonly DecoderLayer[]): number[] =>
	layers.map(({ isRotary }) => Number(isRotary));

/** config.json with what the program says of it: which layers are rotated, and that lm_head has weights of its own. */
export const completed = ({ layers }: Decoder, config: Config): Config => ({
	...config,
	no_rope_layers: rotationsOf(layers),
	tie_word_embeddings: false,
});

/** Arguments of a quantized embedding: codes, scales, zero points, least and most code, tokens. Of another one: weights, tokens. */
function embeddingOf({ name, inputs }: Operation): NamedConstant {
	const [, operator] =
		/^(?:aten::(embedding)|quantized_decomposed::(embedding_byte|embedding_4bit))(?:\.|$)/
			.exec(name)
			?.filter((part) => part !== undefined) ?? [];
	if (operator === undefined)
		return fail(
			`the first layer's input comes from ${name}, expected an embedding`,
		);
	const [codes, scales, zeros] = inputs;
	const place = codes?.constant;
	if (!codes || !place)
		return fail(`the weights of ${name} are not in the file`);
	const { shape, type } = codes;
	const about = { name: "model.embed_tokens.weight", place };
	if (operator === "embedding") return { ...about, type, shape, groupSize: 0 };
	const stored = operator === "embedding_byte" ? "I8" : "U8";
	if (type !== stored || shape.length !== 2)
		fail(`the codes of ${name} are ${type} [${shape}], expected ${stored}`);
	if (!scales?.constant)
		return fail(`the scales of ${name} are not in the file`);
	const [rows = 0, width = 0] = shape;
	const cols = operator === "embedding_byte" ? width : 2 * width;
	const groups = (elementsOf(scales.shape) ?? 0) / rows;
	const isRead = zeros?.literal !== null && zeros !== undefined;
	if (isRead && !zeros.constant)
		fail(`the zero points of ${name} are not in the file`);
	return {
		...about,
		type: operator,
		shape: [rows, cols],
		groupSize: groups === 1 ? 0 : cols / groups,
		scales: { place: scales.constant, type: scales.type },
		zeros: zeros?.constant,
	};
}
