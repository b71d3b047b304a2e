/**
 * Writes a checkpoint of safetensors with the true shape of a model and random weights, without a tokenizer:
 * node scripts/run.mjs bench/write-checkpoint.ts FOLDER SHAPE FORMAT
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalName } from "../src/formats/gguf-names.ts";
import {
	type CheckpointFormat,
	constant,
	floats,
	type Matrix,
	type Weight,
} from "./formats/format.ts";
import {
	type CheckpointFormatName,
	checkpointFormats,
} from "./formats/formats.ts";
import { type FileTensor, writeSafetensors } from "./safetensors-file.ts";
import {
	matrices,
	norms,
	type Shape,
	type ShapeName,
	shapes,
} from "./shapes.ts";

/** The file with the weights. */
export const WEIGHTS = "model.safetensors";

export async function writeCheckpoint(
	folder: string,
	shape: Shape,
	name: CheckpointFormatName,
): Promise<void> {
	const format: CheckpointFormat = checkpointFormats[name](shape);
	const weights = weightsOf(shape, format);
	mkdirSync(folder, { recursive: true });
	const config = {
		...configOf(shape),
		tie_word_embeddings: format.embedding === undefined,
		...(format.config && { quantization_config: format.config }),
	};
	writeFileSync(
		join(folder, "config.json"),
		JSON.stringify(config, null, "\t"),
	);
	// Gemma's norms multiply by 1 + w, the others by w.
	const norm = constant(format.dtype, shape.architecture === "gemma3" ? 0 : 1);
	const { linear, embedding = floats(format.dtype) } = format;
	const stored = (weight: Weight): FileTensor[] => {
		if (isMatrix(weight))
			return weight.role === "embedding" ? embedding(weight) : linear(weight);
		return [{ ...weight, dtype: format.dtype, pattern: norm }];
	};
	await writeSafetensors(
		join(folder, WEIGHTS),
		weights.flatMap(stored),
		format.metadata?.(weights),
	);
}

const isMatrix = (weight: Weight): weight is Matrix => weight.role !== "norm";

function weightsOf(shape: Shape, format: CheckpointFormat): Weight[] {
	const { architecture, vocab_size, hidden_size } = shape;
	const EMBEDDING = "token_embd.weight";
	return [
		...matrices(shape).map(
			([name, n, k]): Weight => ({
				name: canonicalName(architecture, name),
				shape: [n, k],
				role: name === EMBEDDING ? "embedding" : "linear",
			}),
		),
		...(format.embedding
			? [
					{
						name: "lm_head.weight",
						shape: [vocab_size, hidden_size],
						role: "linear",
					} as const,
				]
			: []),
		...norms(shape).map(
			([name, n]): Weight => ({
				name: canonicalName(architecture, name),
				shape: [n],
				role: "norm",
			}),
		),
	];
}

const ARCHITECTURES = {
	llama: { architectures: ["LlamaForCausalLM"], model_type: "llama" },
	smollm3: { architectures: ["SmolLM3ForCausalLM"], model_type: "smollm3" },
	gemma3: { architectures: ["Gemma3ForCausalLM"], model_type: "gemma3_text" },
} as const;

/** What config.json says of a model. */
export function configOf({ architecture, rope_factor, ...sizes }: Shape) {
	return {
		...ARCHITECTURES[architecture],
		...sizes,
		...(architecture === "gemma3"
			? {
					hidden_activation: "gelu_pytorch_tanh",
					query_pre_attn_scalar: sizes.head_dim,
					rope_scaling: rope_factor
						? { rope_type: "linear", factor: rope_factor }
						: null,
				}
			: { hidden_act: "silu" }),
	};
}

const [, program, folder, shapeName, format] = process.argv;
if (program?.endsWith("write-checkpoint.ts") && folder && shapeName && format)
	await writeCheckpoint(
		folder,
		shapes[shapeName as ShapeName],
		format as CheckpointFormatName,
	);
