import { UnsupportedError } from "./errors.ts";
import { type Inspection, inspectCheckpoint } from "./inspect.ts";
import { type LoadOptions, load, openFrom } from "./load.ts";
import { Model } from "./model.ts";
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
	 * Says what is in a checkpoint and what running it takes, without reading weights.
	 * @throws (rejects with) SourceError, CheckpointError
	 */
	inspect(
		source?: Source,
		options?: Pick<LoadOptions, "file" | "signal">,
	): Promise<Inspection>;
	/**
	 * Reads a weight, decoded to float32, piece by piece: memory for a few megabytes is enough for any matrix.
	 * @param source where the checkpoint is; undefined for the embedded model
	 * @param name as `inspect` lists it: "model.embed_tokens.weight"
	 * @throws (rejects with) SourceError, CheckpointError, UnsupportedError where its bits cannot be read, OptionError where there is no such weight
	 */
	readTensor(
		source: Source | undefined,
		name: string,
		options?: Pick<LoadOptions, "file" | "signal">,
	): AsyncGenerator<TensorPiece, void>;
}

/** The part of the public API that needs a runtime. */
export function bindRuntime(runtime: Runtime): {
	Model: ModelConstructor;
	loadTokenizer: (source?: Source) => Promise<Tokenizer>;
} {
	class BoundModel extends Model {
		static async load(source?: Source, options: LoadOptions = {}) {
			return new BoundModel(await load(runtime, source, options));
		}
		static async inspect(
			source?: Source,
			options: Pick<LoadOptions, "file" | "signal"> = {},
		) {
			const checkpoint = await openFrom(runtime, source, options);
			try {
				return await inspectCheckpoint(checkpoint);
			} finally {
				await checkpoint.close();
			}
		}
		static async *readTensor(
			source: Source | undefined,
			name: string,
			options: Pick<LoadOptions, "file" | "signal"> = {},
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
		/** The tokenizer of a checkpoint alone; a GGUF file that holds nothing else will do. */
		async loadTokenizer(source) {
			const checkpoint = await openFrom(runtime, source, {});
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
