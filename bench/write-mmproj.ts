/** Writes an mmproj file with the true shape of Gemma 3's vision tower and random weights: node scripts/run.mjs bench/write-mmproj.ts FILE MIX */

import { type FileTensor, values, writeGguf } from "./gguf-file.ts";
import { type BlockType, blockType } from "./mixes.ts";
import {
	gemma3Vision as shape,
	type VisionTensor,
	visionTensors,
} from "./vision-shape.ts";

/** What llama.cpp's converter stores the tower's matrices as. */
export type VisionMix = "F16" | "BF16" | "Q8_0";

/** A row of a feed-forward product, 4304 columns, is no whole number of blocks and stays in 16 bits. */
function typeOf({ role, sizes }: VisionTensor, mix: VisionMix): BlockType {
	if (role === "projection" || role === "patches") return blockType("F16");
	if (role !== "matrix") return blockType("F32");
	const type = blockType(mix);
	return sizes[0]! % type.elements === 0 ? type : blockType("F16");
}

export async function writeMmproj(path: string, mix: VisionMix): Promise<void> {
	const { flag, float, floats, number, string } = values;
	const metadata = [
		["general.architecture", string("clip")],
		["general.type", string("mmproj")],
		["general.name", string(`gemma-3 vision ${mix}, random`)],
		["clip.projector_type", string("gemma3")],
		["clip.has_vision_encoder", flag(true)],
		["clip.use_gelu", flag(true)],
		["clip.vision.image_size", number(shape.image_size)],
		["clip.vision.patch_size", number(shape.patch_size)],
		["clip.vision.embedding_length", number(shape.hidden_size)],
		["clip.vision.feed_forward_length", number(shape.intermediate_size)],
		["clip.vision.block_count", number(shape.num_hidden_layers)],
		["clip.vision.projection_dim", number(shape.projection_dim)],
		["clip.vision.attention.head_count", number(shape.num_attention_heads)],
		["clip.vision.attention.layer_norm_epsilon", float(shape.layer_norm_eps)],
		["clip.vision.image_mean", floats([0.5, 0.5, 0.5])],
		["clip.vision.image_std", floats([0.5, 0.5, 0.5])],
	] as const;
	const tensors = visionTensors(shape).map(
		(tensor): FileTensor => ({
			name: tensor.name,
			sizes: tensor.sizes,
			type: typeOf(tensor, mix),
			...(tensor.role === "norm" && { value: 1 }),
		}),
	);
	await writeGguf(path, metadata, tensors);
}

const [, program, path, mix] = process.argv;
if (program?.endsWith("write-mmproj.ts") && path && mix)
	await writeMmproj(path, mix as VisionMix);
