import type { Shape } from "./shapes.ts";

/** A ggml type as the writer needs it: where its f16 scales are in a block, and what makes values of a sane size. */
export interface BlockType {
	readonly id: number;
	readonly elements: number;
	readonly bytes: number;
	/** Byte offset in the block and value of each f16 scale. */
	readonly scales: readonly (readonly [at: number, value: number])[];
}

export const blockTypes = {
	F32: { id: 0, elements: 1, bytes: 4, scales: [] },
	F16: { id: 1, elements: 1, bytes: 2, scales: [] },
	BF16: { id: 30, elements: 1, bytes: 2, scales: [] },
	Q4_0: { id: 2, elements: 32, bytes: 18, scales: [[0, 0.005]] },
	Q5_0: { id: 6, elements: 32, bytes: 22, scales: [[0, 0.0025]] },
	Q8_0: { id: 8, elements: 32, bytes: 34, scales: [[0, 0.0003]] },
	Q4_K: {
		id: 12,
		elements: 256,
		bytes: 144,
		scales: [
			[0, 0.0001],
			[2, 0.0008],
		],
	},
	Q6_K: { id: 14, elements: 256, bytes: 210, scales: [[208, 0.00002]] },
} as const satisfies Record<string, BlockType>;

export type TypeName = keyof typeof blockTypes;
export type MixName = "F16" | "BF16" | "Q8_0" | "Q4_0" | "Q4_K_M";

/** What llama-quantize stores each matrix as, for a model whose embedding is also its output. */
export function typeIn(
	mix: MixName,
	shape: Shape,
	name: string,
	k: number,
): TypeName {
	if (mix === "F16" || mix === "BF16" || mix === "Q8_0") return mix;
	const fits = k % 256 === 0;
	const six: TypeName = fits ? "Q6_K" : "Q8_0";
	if (name === "token_embd.weight") return six;
	if (mix === "Q4_0") return "Q4_0";
	const layer = Number(/^blk\.(\d+)\./.exec(name)?.[1]);
	const n = shape.num_hidden_layers;
	const eighth = Math.floor(n / 8);
	const more =
		layer < eighth ||
		layer >= Math.floor((7 * n) / 8) ||
		(layer - eighth) % 3 === 2;
	if (/attn_v|ffn_down/.test(name) && more) return six;
	return fits ? "Q4_K" : "Q5_0";
}
