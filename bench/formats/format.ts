/** How checkpoints of safetensors store the matrices of a model: the tensors of each, full of random codes and one scale. */
import { type FloatType, floatBytes } from "../float-bytes.ts";
import { randomBytes, randomWeights } from "../random.ts";
import type { FileTensor } from "../safetensors-file.ts";
import type { Shape } from "../shapes.ts";

/** A weight by Hugging Face's name, "model.norm.weight", outermost dimension first. */
export interface Weight {
	readonly name: string;
	readonly shape: readonly [n: number, k: number] | readonly [n: number];
	readonly role: "linear" | "embedding" | "norm";
}

/** A weight of two dimensions. */
export interface Matrix extends Weight {
	readonly shape: readonly [n: number, k: number];
}

/** The tensors that a matrix is stored in. */
export type Store = (matrix: Matrix) => FileTensor[];

export interface CheckpointFormat {
	readonly linear: Store;
	/** Of the embedding, where it is quantized: then the output is a linear layer of its own, otherwise the two are one. */
	readonly embedding?: Store;
	/** Of all other weights. */
	readonly dtype: FloatType;
	/** `quantization_config` of config.json. */
	readonly config?: Readonly<Record<string, unknown>>;
	/** What the file says of its weights. */
	readonly metadata?: (weights: readonly Weight[]) => Record<string, string>;
}

/** Bytes that are repeated all over: no multiple of any row. */
const PATTERN_BYTES = 999_983;
const PATTERN_WEIGHTS = 131_071;
const SCALES = 4096;

/** Random codes of 8 bits, or pairs of 4 bits. */
export const codes = randomBytes(PATTERN_BYTES);

/** Random signed codes of `bits` bits, a byte each. */
export const signedCodes = (bits: number): Uint8Array =>
	new Uint8Array(
		Int8Array.from(codes, (code) => (code >> (8 - bits)) - 2 ** (bits - 1))
			.buffer,
	);

/** The same number everywhere. */
export const constant = (type: FloatType, value: number): Uint8Array =>
	floatBytes(type, new Float32Array(SCALES).fill(value));

export const zeros = new Uint8Array(SCALES);

/** Scales for codes of that many bits: random ones make weights of about ±0.02. */
export const scaleOf = (bits: number): number => 0.04 / 2 ** bits;

/** Floats as they are. */
export function floats(dtype: FloatType): Store {
	const pattern = floatBytes(dtype, randomWeights(PATTERN_WEIGHTS));
	return ({ name, shape }) => [{ name, dtype, shape, pattern }];
}

/** Columns per scale: as many as wanted, or half of that until rows of all matrices can be divided. SmolLM2-135M has 64 of 128. */
export function groupSize(shape: Shape, wanted: number): number {
	const widths = [
		shape.hidden_size,
		shape.intermediate_size,
		shape.num_attention_heads * shape.head_dim,
	];
	return widths.every((k) => k % wanted === 0)
		? wanted
		: groupSize(shape, wanted / 2);
}
