import { bindRuntime } from "../bind.ts";
import type { LoadOptions } from "../load.ts";
import type { GenerateCallOptions, Model, ModelInfo } from "../model.ts";
import type { Prompt } from "../prompts.ts";
import type { Part } from "../text/parts.ts";
import { openChannel, type Port } from "./channel.ts";
import { inBatches } from "./in-batches.ts";
import { type PostedSource, receiveSource } from "./lent-source.ts";
import { encodeText } from "./posted-text.ts";
import type { WebAssets } from "./web-assets.ts";
import { webRuntime } from "./web-runtime.ts";

/** What a page is told of a model once it is loaded. */
export interface LoadedFacts {
	readonly info: ModelInfo;
	readonly config: Readonly<Record<string, unknown>>;
	/** What the tokenizer is built from, undefined where the checkpoint has none. */
	readonly text: Uint8Array | undefined;
}

/** Serves a model to who holds the other end: a page, which so is never kept from drawing while a step is computed. */
export function serveModel(port: Port): void {
	let model: Model | undefined;
	let disposed: (() => void) | undefined;

	openChannel(port, {
		ready: () => {},

		inspect: (source: PostedSource, options: LoadOptions, assets: WebAssets) =>
			bindRuntime(webRuntime(assets)).Model.inspect(
				receiveSource(source),
				options,
			),

		estimate: (source: PostedSource, options: LoadOptions, assets: WebAssets) =>
			bindRuntime(webRuntime(assets)).Model.estimate(
				receiveSource(source),
				options,
			),

		/** Ends when the model is disposed: what the page has lent is needed until then. */
		async run(
			source: PostedSource,
			options: LoadOptions,
			assets: WebAssets,
			loaded: (facts: LoadedFacts) => Promise<void>,
		) {
			let text: Uint8Array | undefined;
			const { Model } = bindRuntime({
				...webRuntime(assets),
				onTokenizer: (...made) => {
					text = encodeText(made);
				},
			});
			model = await Model.load(receiveSource(source), options);
			const { info, config } = model;
			const ended = new Promise<void>((resolve) => {
				disposed = resolve;
			});
			await loaded({ info, config, text });
			await ended;
		},

		/** Never waits for its reader: what a slow one has not seen yet is at most all of the text. */
		async generate(
			prompt: Prompt,
			options: GenerateCallOptions,
			emit: (parts: readonly Part[]) => Promise<void>,
			left: AbortSignal,
		) {
			const generation = model!.generate(prompt, borrowed(options));
			const parts = inBatches<Part>(emit);
			try {
				for await (const part of generation) {
					parts.push(part);
					if (left.aborted) break;
				}
			} finally {
				parts.flush();
			}
			return generation;
		},

		logits: (...args: Parameters<Model["logits"]>) => model!.logits(...args),

		async dispose() {
			await model?.dispose();
			disposed?.();
		},
	});
}

/** Functions of another thread change copies of the scores, so these come back. */
function borrowed(options: GenerateCallOptions): GenerateCallOptions {
	const { logitsProcessors } = options;
	if (!Array.isArray(logitsProcessors)) return options;
	return {
		...options,
		logitsProcessors: logitsProcessors.map((process) =>
			typeof process === "function"
				? async (scores: Float32Array, ids: readonly number[]) => {
						scores.set((await process(scores.slice(), ids)) as Float32Array);
					}
				: process,
		),
	};
}
