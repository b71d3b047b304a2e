import type { Encoder, Limits } from "./engine/engine.ts";
import type { Graph } from "./engine/graph.ts";
import { type CacheType, cacheTypes } from "./engine/layouts.ts";
import { BANK_BYTES } from "./engine/memory.ts";
import type { Tensor } from "./engine/operands.ts";
import { OptionError, UnsupportedError } from "./errors.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import type { ImageSizes, Sizes } from "./models/architecture.ts";
import { findArchitecture } from "./models/architectures.ts";
import { readConfig } from "./models/config.ts";
import {
	assignBanks,
	collectWeights,
	type Inputs,
	type PlannedWeight,
	planWeights,
} from "./weights.ts";

/** What of loading decides how much memory is taken. */
export interface SizeOptions {
	/**
	 * Threads that share the work, from 1. With 1, or where memory cannot be shared between threads, steps run on the calling thread.
	 * @default as many as the machine runs at once
	 */
	readonly threads?: number | undefined;
	/**
	 * Memory banks of at most 4 GiB to spread the weights over, 1 to 16. More are used where the weights need them.
	 * @default as few as hold the model
	 */
	readonly banks?: number | undefined;
	/**
	 * Most tokens of prompt and answer together, from 1 to what the model was made for. Memory for them is taken as they come.
	 * @default what the model was made for
	 */
	readonly contextTokens?: number | undefined;
	/**
	 * Prompt tokens per step, 1 to 4096: more are faster up to a point, take more memory, and make `signal` wait longer.
	 * @default 256, or 128 where contextTokens is at most 512
	 */
	readonly chunkTokens?: number | undefined;
	/**
	 * How keys and values are kept: "f32" exactly, "f16" in half, "i8" in a quarter of the memory.
	 * @default "f32"
	 */
	readonly cache?: CacheType | undefined;
	/**
	 * How layers take their inputs. "defined": as the definition of their weights says. "int8": where that says floats and
	 * the weights are integers (W4A16 and W8A16, int4 or int8 weight-only), inputs are rounded to int8 too, per 32 columns or per
	 * token. That is two to three times as fast, and moves logits about as much as the quantization of the weights did.
	 * @default "defined"
	 */
	readonly activations?: Inputs | undefined;
}

/** A model of a checkpoint before its weights are read: what it is made of, and what it computes. */
export interface ModelPlan {
	/** Entry of config.json's `architectures`. */
	readonly architecture: string;
	readonly sizes: Sizes;
	/** Undefined for models that only read text. */
	readonly imageSizes: ImageSizes | undefined;
	readonly weights: readonly PlannedWeight[];
	/** Bytes of the weights in memory. */
	readonly weightBytes: number;
	readonly parameters: number;
	/** Records one step. */
	readonly record: (graph: Graph) => Tensor;
	readonly encoder: Encoder | undefined;
}

/** How a model's steps are sized. */
export interface StepPlan {
	readonly banks: number;
	readonly threads: number;
	readonly cache: CacheType | undefined;
	readonly limits: Limits;
}

/** Left free in each bank for activations, tables and the first keys and values. */
const BANK_RESERVE_BYTES = 512 * 1024 * 1024;
const CHUNK_TOKENS = 256;
/** For contexts so short that somebody saves memory. */
const SHORT_CONTEXT_TOKENS = 512;
const SHORT_CHUNK_TOKENS = 128;
/** Rows whose logits are computed in one step: a vocabulary of 128k takes half a megabyte for each. */
const OUTPUT_ROWS = 16;
const SEQUENCES = 16;

/** Rejects with CheckpointError where weights are missing or have other shapes, with UnsupportedError for what cannot be run. */
export async function planModel(
	checkpoint: Checkpoint,
	{ activations }: Pick<SizeOptions, "activations"> = {},
): Promise<ModelPlan> {
	if (checkpoint.unsupported)
		throw new UnsupportedError(checkpoint.unsupported);
	const { name, architecture } = findArchitecture(
		checkpoint.config,
		checkpoint.origins.config,
	);
	const config = architecture.config(
		readConfig(checkpoint.config, checkpoint.origins.config),
	);
	const { sight } = architecture;
	const imageSizes = sight?.sizes(config);
	const { weights, declared } = collectWeights(checkpoint, (w) =>
		architecture.weights(w, config),
	);
	const planned = await planWeights(checkpoint, declared, activations);
	return {
		architecture: name,
		sizes: config,
		imageSizes,
		weights: planned,
		weightBytes: planned.reduce((sum, p) => sum + p.bytes, 0),
		parameters: planned.reduce(
			(sum, { matrix }) => sum + matrix.rows * matrix.cols,
			0,
		),
		record: (graph) => architecture.forward(graph, weights, config),
		encoder: sight &&
			imageSizes && {
				rows: imageSizes.patches,
				outputs: imageSizes.tokens,
				record: (graph) => sight.record(graph, weights, config),
			},
	};
}

/** Decides how large steps are, and puts every weight into a bank. */
export function planSteps(
	plan: ModelPlan,
	options: SizeOptions,
	runtime: { readonly threads: number; readonly spawn?: unknown },
): StepPlan {
	const banks = Math.max(
		options.banks ?? 1,
		Math.ceil(plan.weightBytes / (BANK_BYTES - BANK_RESERVE_BYTES)),
	);
	assignBanks(plan.weights, banks);
	const most = plan.sizes.contextTokens;
	const contextTokens = Math.min(options.contextTokens ?? most, most);
	const chunkTokens =
		options.chunkTokens ??
		(contextTokens > SHORT_CONTEXT_TOKENS ? CHUNK_TOKENS : SHORT_CHUNK_TOKENS);
	return {
		banks,
		threads: runtime.spawn ? (options.threads ?? runtime.threads) : 1,
		cache: options.cache,
		limits: {
			// An image goes into one step.
			rows: Math.max(
				Math.min(chunkTokens, contextTokens),
				plan.imageSizes?.tokens ?? 0,
			),
			outputs: OUTPUT_ROWS,
			sequences: SEQUENCES,
			contextTokens,
		},
	};
}

/** Throws OptionError for a number out of range, and for an unknown word. */
export function checkSizes({
	threads,
	banks,
	contextTokens,
	chunkTokens,
	cache,
	activations,
}: SizeOptions): void {
	const ranges = {
		threads: [threads, 1, 256],
		banks: [banks, 1, 16],
		contextTokens: [contextTokens, 1, 2 ** 24],
		chunkTokens: [chunkTokens, 1, 4096],
	} as const;
	for (const [name, [value, least, most]] of Object.entries(ranges))
		if (
			value !== undefined &&
			!(Number.isInteger(value) && value >= least && value <= most)
		)
			throw new OptionError(
				`${name} is ${value}, expected a whole number from ${least} to ${most}`,
			);
	const words = {
		cache: [cache, Object.keys(cacheTypes)],
		activations: [activations, ["defined", "int8"]],
	} as const;
	for (const [name, [value, known]] of Object.entries(words))
		if (value !== undefined && !(known as readonly string[]).includes(value))
			throw new OptionError(
				`${name} is ${value}, expected ${known.join(" or ")}`,
			);
}
