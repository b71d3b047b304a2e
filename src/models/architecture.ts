import type { Graph } from "../engine/graph.ts";
import type { Tensor, Weight } from "../engine/operands.ts";
import type { Config } from "./config.ts";

/** Asks for weights by their Hugging Face name; where and how they are stored is the loader's business. */
export interface Weights {
	/** `name` without its ".weight"; a name that ends in ".bias" or "_weight" is taken as it is. Throws CheckpointError where it is missing or has another shape. */
	(name: string, shape: readonly number[], change?: Change): Weight;
	/** As above, or undefined where the checkpoint does not have it. */
	optional(name: string, shape: readonly number[]): Weight | undefined;
	/** The transpose, [n, k], of a matrix that is stored as [k, n]. */
	transposed(name: string, shape: readonly [number, number]): Weight;
	/** Whether the checkpoint has it: tells apart the names that one weight goes by. */
	has(name: string): boolean;
	/** `each` for layer 0 … count − 1, with names relative to `${prefix}.${i}.`. */
	layers<L>(
		count: number,
		prefix: string,
		each: (w: Weights, layer: number) => L,
	): L[];
}

/** A constant change to a vector's values, made while loading. */
export type Change = (values: Float32Array) => Float32Array;

/** What every family's configuration says, whatever else it says. */
export interface Sizes {
	/** Vocabulary. */
	readonly V: number;
	/** Positions the model was made for. */
	readonly contextTokens: number;
}

/** What a model takes for an image. */
export interface ImageSizes {
	/** Pixels per side. */
	readonly pixels: number;
	/** Pixels per side of a patch; each becomes a row of 3 · patch² numbers: all reds, all greens, all blues. */
	readonly patch: number;
	/** Patches of an image. */
	readonly patches: number;
	/** Tokens of a prompt that an image takes the place of. */
	readonly tokens: number;
	/** The id of these tokens. */
	readonly tokenId: number;
	readonly prompt: ImagePrompt;
}

/** How an image is written in a prompt. */
export interface ImagePrompt {
	/** Stands for an image in a chat template's output. */
	readonly placeholder: string;
	/** What takes its place: this, the soft tokens, and what comes after them. */
	readonly before: string;
	/** A soft token's text. */
	readonly token: string;
	readonly after: string;
	/** Text before an image of which there are crops, and between it and them. */
	readonly crops: readonly [string, string];
}

/** The half of a model that sees. */
export interface Sight<C, W> {
	/** Undefined where the checkpoint has no such half. */
	sizes(c: C): ImageSizes | undefined;
	/** Records the way from the patches of one image to its soft tokens, f32[O, D] for D as `forward` embeds. */
	record(g: Graph, w: W, c: C): { input: Tensor; output: Tensor };
}

/** One model family. Three pure functions: what it is made of, what it needs, what it computes. */
export interface Architecture<C extends Sizes, W> {
	/** `architectures` entries of config.json that this family serves. */
	readonly names: readonly string[];
	config(hf: Config): C;
	weights(w: Weights, c: C): W;
	/** Records one step: the step's tokens in, logits f32[O, V] of the wanted rows out. */
	forward(g: Graph, w: W, c: C): Tensor;
	/** Undefined for families that only read. */
	readonly sight?: Sight<C, W>;
}

/** Identity that lets TypeScript carry C and W from `config` and `weights` into `forward`. */
export const architecture = <C extends Sizes, W>(a: Architecture<C, W>) => a;
