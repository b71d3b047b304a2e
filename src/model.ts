import type { Engine } from "./engine/engine.ts";
import type { Sequence } from "./engine/pages.ts";
import {
	CheckpointError,
	EngineError,
	OptionError,
	UnsupportedError,
} from "./errors.ts";
import {
	createStepper,
	decode,
	prefill,
	type Stepper,
} from "./generate/decode.ts";
import { Generation } from "./generate/generation.ts";
import type { GenerateOptions } from "./generate/options.ts";
import { resolveOptions } from "./generate/resolve.ts";
import { createSampler } from "./generate/sampler.ts";
import { createStopping, type FinishReason } from "./generate/stopping.ts";
import type {
	ChatOptions,
	ChatTemplate,
	Message,
} from "./text/chat-template.ts";
import { createDetokenizer } from "./text/detokenizer.ts";
import {
	createPartSplitter,
	type Part,
	type PartSplitterOptions,
	type ToolCallPart,
} from "./text/parts.ts";
import { createStopMatcher } from "./text/stop.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** What a loaded model is made of. */
export interface LoadedModel {
	readonly engine: Engine;
	readonly tokenizer: Tokenizer | undefined;
	readonly chatTemplate: ChatTemplate | undefined;
	readonly config: Readonly<Record<string, unknown>>;
	readonly generationConfig: Readonly<Record<string, unknown>>;
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
	readonly threads: number;
	/** Why there are no more threads; undefined where nothing stood in the way. */
	readonly threadLimit: string | undefined;
	readonly kernels: "simd" | "relaxed";
	readonly banks: number;
	readonly loadMs: number;
}

/**
 * What to continue: a text, as it is; a conversation, put into the model's chat template; or token ids.
 */
export type Prompt =
	| string
	| readonly Message[]
	| { readonly ids: readonly number[] };

/** Options of `generate`: how to choose tokens, and for a conversation how to fill in the chat template. */
export interface GenerateCallOptions extends GenerateOptions, ChatOptions {}

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
	readonly #step: Stepper;
	#disposed: Promise<void> | undefined;
	/** The last finished text: another one that begins alike need not be computed again. */
	#kept: { ids: readonly number[]; sequence: Sequence } | undefined;

	constructor(loaded: LoadedModel) {
		this.#loaded = loaded;
		this.#step = createStepper(loaded.engine, loaded.yield);
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
		const { tokenizer, info } = this.#loaded;
		if (!tokenizer)
			throw new UnsupportedError(
				`${info.name}: has no tokenizer, only token ids can be given`,
			);
		return tokenizer;
	}

	/** Throws UnsupportedError where the checkpoint has no chat template. */
	get chatTemplate(): ChatTemplate {
		const { chatTemplate, info } = this.#loaded;
		if (!chatTemplate)
			throw new UnsupportedError(
				`${info.name}: has no chat template, expected a text as prompt instead of messages`,
			);
		return chatTemplate;
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
		const ids = this.#encode(prompt, options);
		const promptTokenIds = [...ids];
		const resolved = resolveOptions(options, this.#loaded.generationConfig, {
			vocabularySize: this.info.vocabularySize,
			promptTokens: ids.length,
			contextTokens: this.info.contextTokens,
		});
		const sampler = createSampler(resolved);
		const stopping = createStopping(resolved);
		const how = {
			plain: !Array.isArray(prompt),
			promptIds: promptTokenIds,
			python: (options.pythonTools ?? []).length > 0,
		};
		const speaker = this.#speaker(how, resolved.stop, emit);

		const { sequence, reusedTokens } = this.#take(engine, ids);
		try {
			const first = await prefill(
				this.#step,
				sequence,
				ids.slice(reusedTokens),
				engine.limits.rows,
				signal,
			);
			const decodeStart = performance.now();
			let finishReason: FinishReason = "abort";
			for await (const id of decode(
				this.#step,
				sequence,
				ids,
				first,
				sampler,
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
			this.#keep(ids, sequence);
		}
	}

	/** Turns tokens into parts and collects them. `push` says whether a stop string has ended the text. */
	#speaker(
		how: PartSplitterOptions,
		stop: readonly string[],
		emit: (part: Part) => void,
	) {
		let text = "";
		let reasoning = "";
		const toolCalls: ToolCallPart[] = [];
		const give = (parts: readonly Part[]) => {
			for (const part of parts) {
				if (part.type === "text") text += part.text;
				else if (part.type === "reasoning") reasoning += part.text;
				else toolCalls.push(part);
				emit(part);
			}
		};
		const { tokenizer } = this.#loaded;
		if (!tokenizer)
			return { push: () => false, end: () => ({ text, reasoning, toolCalls }) };
		const splitter = createPartSplitter(tokenizer, how);
		const detokenizer = createDetokenizer(tokenizer, {
			skipSpecialTokens: true,
			keep: splitter.markerIds,
			continues: true,
		});
		const matcher = createStopMatcher(stop);
		return {
			push(id: number): boolean {
				const matched = matcher.push(detokenizer.push(id));
				give(splitter.push(matched.text));
				return matched.stopped;
			},
			end() {
				const rest = matcher.push(detokenizer.flush());
				give(splitter.push(rest.text + matcher.flush()));
				give(splitter.flush());
				return { text, reasoning, toolCalls };
			},
		};
	}

	#encode(prompt: Prompt, options: ChatOptions): number[] {
		if (typeof prompt === "string")
			return this.#checkIds(this.tokenizer.encode(prompt), "prompt");
		if ("ids" in prompt) return this.#checkIds([...prompt.ids], "ids");
		const text = this.chatTemplate.render(prompt, {
			addGenerationPrompt: true,
			...options,
		});
		return this.#checkIds(
			this.tokenizer.encode(text, { addSpecialTokens: false }),
			"prompt",
		);
	}

	#checkIds(ids: number[], what: string): number[] {
		const size = this.info.vocabularySize;
		const wrong = ids.find(
			(id) => !Number.isInteger(id) || id < 0 || id >= size,
		);
		if (wrong === undefined) return ids;
		if (what === "ids")
			throw new OptionError(
				`ids: found ${wrong}, expected whole numbers from 0 to ${size - 1}`,
			);
		throw new CheckpointError(
			`${this.info.name}: the tokenizer gives token ${wrong}, the model knows ${size}; they do not belong together`,
		);
	}

	/** A sequence that already holds as much as possible of `ids`, but not the last one, whose logits are wanted. */
	#take(
		engine: Engine,
		ids: readonly number[],
	): { sequence: Sequence; reusedTokens: number } {
		const kept = this.#kept;
		this.#kept = undefined;
		if (kept?.sequence.canTruncate) {
			let same = 0;
			const most = Math.min(ids.length - 1, kept.sequence.length);
			while (same < most && ids[same] === kept.ids[same]) same++;
			kept.sequence.truncate(same);
			return { sequence: kept.sequence, reusedTokens: same };
		}
		kept?.sequence.clear();
		return { sequence: engine.createSequence(), reusedTokens: 0 };
	}

	#keep(ids: readonly number[], sequence: Sequence): void {
		this.#kept?.sequence.clear();
		this.#kept = { ids, sequence };
	}

	/**
	 * Scores of every vocabulary entry as the next token: f32[V] after the last of `ids`, or with `all` after each of them.
	 * Rejects with OptionError, ContextError or EngineError.
	 */
	async logits(
		ids: readonly number[],
		options: { all?: boolean; signal?: AbortSignal } = {},
	): Promise<Float32Array[]> {
		const engine = this.#engine();
		const tokens = this.#checkIds([...ids], "ids");
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
						options.signal,
					),
				];
			const rows: Float32Array[] = [];
			const chunk = Math.min(engine.limits.rows, engine.limits.outputs);
			for (let start = 0; start < tokens.length; start += chunk) {
				options.signal?.throwIfAborted();
				const part = tokens.slice(start, start + chunk);
				rows.push(
					...(await this.#step([
						{ sequence, tokens: part, outputs: part.length },
					])),
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
		this.#kept = undefined;
		this.#disposed ??= this.#loaded.engine.stop();
		return this.#disposed;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}
}
