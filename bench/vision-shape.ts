/** The half of a Gemma 3 that sees: SigLIP and what follows it, in the words of config.json's `vision_config`. */
export interface VisionShape {
	readonly hidden_size: number;
	readonly intermediate_size: number;
	readonly num_hidden_layers: number;
	readonly num_attention_heads: number;
	readonly image_size: number;
	readonly patch_size: number;
	readonly layer_norm_eps: number;
	/** Of the text model. */
	readonly projection_dim: number;
}

/** The same tower sees for all sizes of text model. */
export const gemma3Vision: VisionShape = {
	hidden_size: 1152,
	intermediate_size: 4304,
	num_hidden_layers: 27,
	num_attention_heads: 16,
	image_size: 896,
	patch_size: 14,
	layer_norm_eps: 1e-6,
	projection_dim: 2560,
};

/** What a tensor of an mmproj file is there for, which decides its type. */
type Role = "matrix" | "patches" | "projection" | "positions" | "bias" | "norm";

export interface VisionTensor {
	readonly name: string;
	/** The innermost dimension first. */
	readonly sizes: readonly number[];
	readonly role: Role;
}

/** Every tensor of an mmproj file, in file order. */
export function visionTensors(shape: VisionShape): VisionTensor[] {
	const D = shape.hidden_size;
	const F = shape.intermediate_size;
	const patch = shape.patch_size;
	const patches = Math.floor(shape.image_size / patch) ** 2;
	const linear = (name: string, n: number, k: number): VisionTensor[] => [
		{ name: `${name}.weight`, sizes: [k, n], role: "matrix" },
		{ name: `${name}.bias`, sizes: [n], role: "bias" },
	];
	const norm = (name: string): VisionTensor[] => [
		{ name: `${name}.weight`, sizes: [D], role: "norm" },
		{ name: `${name}.bias`, sizes: [D], role: "bias" },
	];
	const layers = Array.from({ length: shape.num_hidden_layers }, (_, i) => {
		const at = `v.blk.${i}`;
		return [
			...norm(`${at}.ln1`),
			...["q", "k", "v", "out"].flatMap((name) =>
				linear(`${at}.attn_${name}`, D, D),
			),
			...norm(`${at}.ln2`),
			...linear(`${at}.ffn_up`, F, D),
			...linear(`${at}.ffn_down`, D, F),
		];
	});
	return [
		{
			name: "v.patch_embd.weight",
			sizes: [patch, patch, 3, D],
			role: "patches",
		},
		{ name: "v.patch_embd.bias", sizes: [D], role: "bias" },
		{
			name: "v.position_embd.weight",
			sizes: [D, patches],
			role: "positions",
		},
		...layers.flat(),
		...norm("v.post_ln"),
		{ name: "mm.soft_emb_norm.weight", sizes: [D], role: "norm" },
		{
			name: "mm.input_projection.weight",
			sizes: [shape.projection_dim, D],
			role: "projection",
		},
	];
}

/** Products of one image: those of its layers' matrices, and of every patch with every other one. */
export function multiplications(shape: VisionShape): number {
	const D = shape.hidden_size;
	const patches = Math.floor(shape.image_size / shape.patch_size) ** 2;
	const matrices = 4 * D * D + 2 * D * shape.intermediate_size;
	const attention = 2 * patches * D;
	return shape.num_hidden_layers * patches * (matrices + attention);
}
