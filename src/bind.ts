import { UnsupportedError } from "./errors.ts";
import { type Estimate, estimate } from "./estimate.ts";
import { type Inspection, inspectCheckpoint } from "./inspect.ts";
import { type LoadOptions, load } from "./load.ts";
import { Model } from "./model.ts";
import { openBoth, openFrom, type SourceOptions } from "./open.ts";
import { checkSizes, planModel, planSteps } from "./plan.ts";
import { readTensor, type TensorPiece } from "./read-tensor.ts";
import type { Runtime } from "./runtime/runtime.ts";
import type { Source } from "./sources/open.ts";
import { createTokenizerFrom } from "./text/open.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** Class Model with the functions that need a runtime. */
export interface ModelConstructor {
	readonly prototype: Model;
	[Symbol.hasInstance](value: unknown): boolean;
	/**
	 * Loads a model.
	 * @param source where the checkpoint is; the embedded model where there is none
	 * @throws (rejects with) SourceError, CheckpointError, UnsupportedError, OptionError, EngineError, or the signal's reason
	 */
	load(source?: Source, options?: LoadOptions): Promise<Model>;
	/**
	 * Says what is in a checkpoint and what running it takes, without reading weights; or what is in an ExecuTorch program.
	 * @throws (rejects with) SourceError, CheckpointError
	 */
	inspect(source?: Source, options?: SourceOptions): Promise<Inspection>;
	/**
	 * Says what loading a model takes before it is loaded: bytes to fetch and bytes in memory. Reads what `inspect` reads.
	 * @param source where the checkpoint is; the embedded model where there is none
	 * @param options as for `load`: those of threads, banks, context, chunks and cache count
	 * @throws (rejects with) what `load` rejects with, except where memory is short: `fits` is false then
	 */
	estimate(source?: Source, options?: LoadOptions): Promise<Estimate>;
	/**
	 * Reads a weight, decoded to float32, piece by piece: memory for a few megabytes is enough for any matrix.
	 * @param source where the checkpoint is; undefined for the embedded model
	 * @param name as `inspect` lists it: "model.embed_tokens.weight"
	 * @throws (rejects with) SourceError, CheckpointError, UnsupportedError where its bits cannot be read, OptionError where there is no such weight
	 */
	readTensor(
		source: Source | undefined,
		name: string,
		options?: SourceOptions,
	): AsyncGenerator<TensorPiece, void>;
}

/** The part of the public API that needs a runtime. */
export interface Bound {
	readonly Model: ModelConstructor;
	/**
	 * The tokenizer of a checkpoint alone; a GGUF file that holds nothing else will do.
	 * @param source where the checkpoint is; the embedded model where there is none
	 * @throws (rejects with) SourceError, CheckpointError, UnsupportedError where there is no tokenizer, or one that cannot be read
	 */
	loadTokenizer(source?: Source, options?: SourceOptions): Promise<Tokenizer>;
}

export function bindRuntime(runtime: Runtime): Bound {
	class BoundModel extends Model {
		static async load(source?: Source, options: LoadOptions = {}) {
			return new BoundModel(await load(runtime, source, options));
		}
		static async inspect(source?: Source, options: SourceOptions = {}) {
			const checkpoint = await openFrom(runtime, source, options);
			try {
				return await inspectCheckpoint(checkpoint);
			} finally {
				await checkpoint.close();
			}
		}
		static async estimate(source?: Source, options: LoadOptions = {}) {
			checkSizes(options);
			const checkpoint = await openBoth(runtime, source, options);
			try {
				const plan = await planModel(checkpoint, options);
				const steps = planSteps(plan, options, runtime);
				return estimate(plan, steps, runtime.freeMemoryBytes?.());
			} finally {
				await checkpoint.close();
			}
		}
		static async *readTensor(
			source: Source | undefined,
			name: string,
			options: SourceOptions = {},
		) {
			const checkpoint = await openFrom(runtime, source, options);
			try {
				for await (const piece of readTensor(checkpoint, name)) {
					yield piece;
					options.signal?.throwIfAborted();
				}
			} finally {
				await checkpoint.close();
			}
		}
	}
	Object.defineProperty(BoundModel, "name", { value: "Model" });
	return {
		Model: BoundModel,
		async loadTokenizer(source, options = {}) {
			const checkpoint = await openFrom(runtime, source, options);
			try {
				if (checkpoint.tokenizer === undefined)
					throw new UnsupportedError(`${checkpoint.name}: has no tokenizer`);
				return createTokenizerFrom(checkpoint.tokenizer).tokenizer;
			} finally {
				await checkpoint.close();
			}
		},
	};
}
