import type { Graph, Tensor, Weight } from "../engine/graph.ts";
import type { Config } from "./config.ts";

/** Asks for weights by their Hugging Face name; where and how they are stored is the loader's business. */
export interface Weights {
	/** `name` without its ".weight"; a name that ends in ".bias" is taken as it is. Throws CheckpointError where it is missing or has another shape. */
	(name: string, shape: readonly number[], change?: Change): Weight;
	/** As above, or undefined where the checkpoint does not have it. */
	optional(name: string, shape: readonly number[]): Weight | undefined;
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

/** One model family. Three pure functions: what it is made of, what it needs, what it computes. */
export interface Architecture<C extends Sizes, W> {
	/** `architectures` entries of config.json that this family serves. */
	readonly names: readonly string[];
	config(hf: Config): C;
	weights(w: Weights, c: C): W;
	/** Records one step: the step's tokens in, logits f32[O, V] of the wanted rows out. */
	forward(g: Graph, w: W, c: C): Tensor;
}

/** Identity that lets TypeScript carry C and W from `config` and `weights` into `forward`. */
export const architecture = <C extends Sizes, W>(a: Architecture<C, W>) => a;
