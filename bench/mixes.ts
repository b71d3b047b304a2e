import { ggmlTypes } from "../src/formats/gguf-types.ts";
import type { Shape } from "./shapes.ts";

/** A ggml type as the writer needs it: where its scales are in a block, and what makes weights of a sane size. */
export interface BlockType {
	readonly name: TypeName;
	readonly id: number;
	readonly elements: number;
	readonly bytes: number;
	readonly scales: readonly Scale[];
}

/** Byte offset in the block and value of an f16 scale, or of a power of two, kept as 128 more in one byte. */
type Scale = readonly [at: number, value: number | { readonly power: number }];

/** Random codes times these are weights of about ±0.02. */
const scales = {
	F32: [],
	F16: [],
	BF16: [],
	Q4_0: [[0, 0.005]],
	Q4_1: [
		[0, 0.005],
		[2, -0.0375],
	],
	Q5_0: [[0, 0.0025]],
	Q5_1: [
		[0, 0.0025],
		[2, -0.03875],
	],
	Q8_0: [[0, 0.0003]],
	Q2_K: [
		[80, 0.002],
		[82, 0.003],
	],
	Q3_K: [[108, 0.0005]],
	Q4_K: [
		[0, 0.0001],
		[2, 0.0008],
	],
	Q5_K: [
		[0, 0.00005],
		[2, 0.0008],
	],
	Q6_K: [[208, 0.00002]],
	IQ4_NL: [[0, 0.0003]],
	IQ4_XS: [[0, 0.00002]],
	MXFP4: [[0, { power: -8 }]],
	TQ1_0: [[52, 0.025]],
	TQ2_0: [[64, 0.025]],
} as const satisfies Record<string, readonly Scale[]>;

export type TypeName = keyof typeof scales;

const ids = new Map([...ggmlTypes].map(([id, { name }]) => [name, id]));

export function blockType(name: TypeName): BlockType {
	const id = ids.get(name)!;
	const { block, bytes } = ggmlTypes.get(id)!;
	return { name, id, elements: block, bytes, scales: scales[name] };
}

/** What llama-quantize stores the matrices of a model as whose embedding is also its output. */
export interface Mix {
	readonly most: TypeName;
	/** @default Q6_K */
	readonly embedding?: TypeName;
	/** Of attn_v and ffn_down in half of the layers. */
	readonly better?: TypeName;
}

/** Where llama-quantize has mixes of a type, those that are one type but for the embedding stand for them, save Q4_K_M and Q5_K_M. */
export const mixes = {
	F32: { most: "F32", embedding: "F32" },
	F16: { most: "F16", embedding: "F16" },
	BF16: { most: "BF16", embedding: "BF16" },
	Q8_0: { most: "Q8_0", embedding: "Q8_0" },
	Q6_K: { most: "Q6_K" },
	Q5_K_M: { most: "Q5_K", better: "Q6_K" },
	Q5_1: { most: "Q5_1" },
	Q5_0: { most: "Q5_0" },
	Q4_K_M: { most: "Q4_K", better: "Q6_K" },
	Q4_1: { most: "Q4_1" },
	Q4_0: { most: "Q4_0" },
	IQ4_NL: { most: "IQ4_NL" },
	IQ4_XS: { most: "IQ4_XS" },
	MXFP4: { most: "MXFP4" },
	Q3_K: { most: "Q3_K" },
	Q2_K: { most: "Q2_K" },
	TQ2_0: { most: "TQ2_0" },
	TQ1_0: { most: "TQ1_0" },
} as const satisfies Record<string, Mix>;

export type MixName = keyof typeof mixes;

/** What rows are stored as that are no whole number of blocks. */
const fallbacks: { readonly [N in TypeName]?: TypeName } = {
	Q2_K: "IQ4_NL",
	Q3_K: "IQ4_NL",
	Q4_K: "Q5_0",
	Q5_K: "Q5_1",
	Q6_K: "Q8_0",
	IQ4_XS: "IQ4_NL",
	TQ1_0: "Q4_0",
	TQ2_0: "Q4_0",
};

/** What llama-quantize stores a matrix as whose rows have `k` columns. */
export function typeIn(
	mix: MixName,
	shape: Shape,
	name: string,
	k: number,
): BlockType {
	const type = blockType(wanted(mixes[mix], shape, name));
	const fallback = fallbacks[type.name];
	return k % type.elements !== 0 && fallback ? blockType(fallback) : type;
}

function wanted(
	{ most, embedding = "Q6_K", better }: Mix,
	shape: Shape,
	name: string,
): TypeName {
	if (name === "token_embd.weight") return embedding;
	if (better === undefined || !/attn_v|ffn_down/.test(name)) return most;
	const layer = Number(/^blk\.(\d+)\./.exec(name)?.[1]);
	const n = shape.num_hidden_layers;
	const eighth = Math.floor(n / 8);
	const isBetter =
		layer < eighth ||
		layer >= Math.floor((7 * n) / 8) ||
		(layer - eighth) % 3 === 2;
	return isBetter ? better : most;
}
