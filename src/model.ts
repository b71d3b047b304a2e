import type { Engine, Span } from "./engine/engine.ts";
import { EngineError, OptionError } from "./errors.ts";
import {
	createTurns,
	decode,
	prefill,
	type Stepper,
	type Turns,
} from "./generate/decode.ts";
import { Generation } from "./generate/generation.ts";
import type { GenerateOptions } from "./generate/options.ts";
import { resolveOptions } from "./generate/resolve.ts";
import { createSampler } from "./generate/sampler.ts";
import { createStopping, type FinishReason } from "./generate/stopping.ts";
import type { ImageInput } from "./images.ts";
import { Kept } from "./kept.ts";
import {
	type EncodedPrompt,
	type ImageOptions,
	type Prompt,
	type PromptReaders,
	Prompts,
} from "./prompts.ts";
import type { ChatOptions, ChatTemplate } from "./text/chat-template.ts";
import type { Part, ToolCallPart } from "./text/parts.ts";
import { createSpeaker } from "./text/speaker.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** What a loaded model is made of. */
export interface LoadedModel extends PromptReaders {
	readonly engine: Engine;
	readonly config: Readonly<Record<string, unknown>>;
	readonly generationConfig: Readonly<Record<string, unknown>>;
	/** What that was read from, for error messages. */
	readonly generationFile: string;
	readonly info: ModelInfo;
	readonly yield: () => Promise<void>;
}

/** Facts about a loaded model. */
export interface ModelInfo {
	/** The checkpoint. */
	readonly name: string;
	/** Entry of config.json's `architectures`. */
	readonly architecture: string;
	/** Weights, not counting what is tied twice. */
	readonly parameters: number;
	/** Bytes that the weights take in memory. */
	readonly weightBytes: number;
	/** Names of the schemes that the weights are stored in, with how many tensors each has. */
	readonly schemes: Readonly<Record<string, number>>;
	readonly vocabularySize: number;
	readonly contextTokens: number;
	/** Whether it can be given messages: it has a chat template. */
	readonly chats: boolean;
	/** Whether it can be given images. */
	readonly sees: boolean;
	readonly threads: number;
	/** Why there are no more threads; undefined where nothing stood in the way. */
	readonly threadLimit: string | undefined;
	readonly kernels: "simd" | "relaxed";
	readonly banks: number;
	readonly loadMs: number;
}

/** Options of `generate`: how to choose tokens, and for a conversation how to fill in the chat template. */
export interface GenerateCallOptions
	extends GenerateOptions,
		ChatOptions,
		ImageOptions {}

/** What a generation came to. */
export interface GenerateResult {
	/** The answer: all text parts together, without reasoning and tool calls. */
	readonly text: string;
	/** All reasoning parts together, empty where there were none. */
	readonly reasoning: string;
	readonly toolCalls: readonly ToolCallPart[];
	/** Generated tokens, with the one that ended the text. */
	readonly tokenIds: readonly number[];
	readonly promptTokenIds: readonly number[];
	readonly finishReason: FinishReason;
	/** What the random numbers started from; undefined where none were drawn. */
	readonly seed: number | undefined;
	readonly timings: {
		/** From the call to the logits of the prompt's last token. */
		readonly prefillMs: number;
		/** From there to the end. */
		readonly decodeMs: number;
		/** Prompt tokens that were still in memory from an earlier call and did not have to be computed. */
		readonly reusedTokens: number;
	};
}

/** A language model in memory. Made by `Model.load`; `dispose` gives its memory and threads back. */
export class Model {
	readonly #loaded: LoadedModel;
	readonly #prompts: Prompts;
	readonly #turns: Turns;
	readonly #step: Stepper;
	#disposed: Promise<void> | undefined;
	/** Another text that begins like the last one need not be computed again. */
	readonly #kept: Kept;

	constructor(loaded: LoadedModel) {
		this.#loaded = loaded;
		this.#prompts = new Prompts(loaded);
		this.#kept = new Kept(loaded.engine);
		this.#turns = createTurns(loaded.engine, loaded.yield);
		this.#step = (feeds, take) =>
			this.#turns(() => loaded.engine.step(feeds, take));
	}

	get info(): ModelInfo {
		return this.#loaded.info;
	}

	/** config.json */
	get config(): Readonly<Record<string, unknown>> {
		return this.#loaded.config;
	}

	/** Throws UnsupportedError where the checkpoint has no tokenizer. */
	get tokenizer(): Tokenizer {
		return this.#prompts.tokenizer;
	}

	/** Throws UnsupportedError where the checkpoint has no chat template. */
	get chatTemplate(): ChatTemplate {
		return this.#prompts.chatTemplate;
	}

	/**
	 * Continues a prompt. The result can be read part by part with `for await` and waited for with `await`; nothing runs
	 * before. Rejects with OptionError, ContextError, EngineError, or the signal's reason.
	 */
	generate(
		prompt: Prompt,
		options: GenerateCallOptions = {},
	): Generation<Part, GenerateResult> {
		return new Generation((emit, left) =>
			this.#generate(prompt, options, emit, left),
		);
	}

	async #generate(
		prompt: Prompt,
		options: GenerateCallOptions,
		emit: (part: Part) => void,
		left: AbortSignal,
	): Promise<GenerateResult> {
		const start = performance.now();
		const { signal } = options;
		signal?.throwIfAborted();
		const engine = this.#engine();
		const encoded = await this.#prompts.encode(prompt, options);
		const { ids } = encoded;
		const promptTokenIds = [...ids];
		const { generationConfig, generationFile } = this.#loaded;
		const limits = {
			vocabularySize: this.info.vocabularySize,
			promptTokens: ids.length,
			contextTokens: this.info.contextTokens,
		};
		const resolved = resolveOptions(
			options,
			generationConfig,
			limits,
			generationFile,
		);
		const sampler = createSampler(resolved);
		const stopping = createStopping(resolved);
		const how = {
			plain: !Array.isArray(prompt),
			promptIds: promptTokenIds,
			python: (options.pythonTools ?? []).length > 0,
		};
		const speaker = createSpeaker(
			this.#loaded.tokenizer,
			how,
			resolved.stop,
			emit,
		);

		const spans = await this.#see(encoded, signal);
		const { sequence, reusedTokens } = this.#kept.take({ ids, spans });
		try {
			const choose = (logits: Float32Array) => ({
				next: sampler.next(logits, ids),
			});
			const first = await prefill(
				this.#step,
				sequence,
				ids.slice(reusedTokens),
				engine.limits.rows,
				choose,
				signal,
				spans
					.filter(({ start }) => start >= reusedTokens)
					.map((span) => ({ ...span, start: span.start - reusedTokens })),
			);
			const decodeStart = performance.now();
			let finishReason: FinishReason = "abort";
			for await (const id of decode(
				this.#step,
				sequence,
				ids,
				first,
				choose,
				signal,
			)) {
				const reason = stopping(ids);
				const isEnd = reason === "stop";
				if (!isEnd && speaker.push(id)) {
					finishReason = "stop-string";
					break;
				}
				if (reason) {
					finishReason = reason;
					break;
				}
				if (left.aborted) break;
			}
			const spoken = speaker.end();
			const end = performance.now();
			return {
				...spoken,
				tokenIds: ids.slice(promptTokenIds.length),
				promptTokenIds,
				finishReason,
				seed: sampler.seed,
				timings: {
					prefillMs: decodeStart - start,
					decodeMs: end - decodeStart,
					reusedTokens,
				},
			};
		} finally {
			this.#kept.keep({ ids, spans, sequence });
		}
	}

	/** Runs the encoder on those images of a prompt that the last one did not have. */
	async #see(
		{ starts, patches }: EncodedPrompt,
		signal: AbortSignal | undefined,
	): Promise<Span[]> {
		const { images, engine } = this.#loaded;
		const rows = await this.#kept.encode(patches, (image) => {
			signal?.throwIfAborted();
			return this.#turns(() => engine.encode!(image));
		});
		return starts.map((start, i) => ({
			start,
			length: images!.tokens,
			rows: rows[i]!,
		}));
	}

	/**
	 * Scores of every vocabulary entry as the next token: f32[V] after the last of `ids`, or with `all` after each of them.
	 * `images` are those of the runs of soft tokens among `ids`; not together with `all`.
	 * Rejects with OptionError, ContextError or EngineError.
	 */
	async logits(
		ids: readonly number[],
		options: {
			all?: boolean;
			images?: readonly ImageInput[];
			signal?: AbortSignal;
		} = {},
	): Promise<Float32Array[]> {
		const engine = this.#engine();
		const encoded = await this.#prompts.encode({ ids }, options);
		const tokens = encoded.ids;
		const spans = await this.#see(encoded, options.signal);
		if (options.all && spans.length > 0)
			throw new OptionError("all: not together with images");
		if (tokens.length === 0)
			throw new OptionError("ids: found none, expected at least 1");
		const sequence = engine.createSequence();
		try {
			if (!options.all)
				return [
					await prefill(
						this.#step,
						sequence,
						tokens,
						engine.limits.rows,
						(logits) => logits.slice(),
						options.signal,
						spans,
					),
				];
			const rows: Float32Array[] = [];
			const chunk = Math.min(engine.limits.rows, engine.limits.outputs);
			for (let start = 0; start < tokens.length; start += chunk) {
				options.signal?.throwIfAborted();
				const part = tokens.slice(start, start + chunk);
				rows.push(
					...(await this.#step(
						[{ sequence, tokens: part, outputs: part.length }],
						(logits) => logits.map((row) => row.slice()),
					)),
				);
			}
			return rows;
		} finally {
			sequence.clear();
		}
	}

	#engine(): Engine {
		if (this.#disposed)
			throw new EngineError(`${this.info.name}: the model was disposed`);
		return this.#loaded.engine;
	}

	/** Stops the threads and lets go of the memory. A running generation rejects with EngineError. Idempotent. */
	dispose(): Promise<void> {
		this.#kept.clear();
		this.#disposed ??= this.#loaded.engine.stop();
		return this.#disposed;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}
}
