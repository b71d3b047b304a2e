import { EngineError, UnsupportedError } from "../errors.ts";
import type { Estimate } from "../estimate.ts";
import { Generation } from "../generate/generation.ts";
import type { Inspection } from "../inspect.ts";
import type { LoadOptions } from "../load.ts";
import type {
	GenerateCallOptions,
	GenerateResult,
	Model as LocalModel,
	ModelInfo,
} from "../model.ts";
import type { SourceOptions } from "../open.ts";
import type { Prompt } from "../prompts.ts";
import type { TensorPiece } from "../read-tensor.ts";
import type { Source } from "../sources/open.ts";
import type { ChatTemplate } from "../text/chat-template.ts";
import type { Part } from "../text/parts.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { postSource } from "./lent-source.ts";
import { decodeText } from "./posted-text.ts";
import { webAssets } from "./web-assets.ts";
import { type Connection, connectEngine } from "./web-connection.ts";
import type { LoadedFacts } from "./web-engine.ts";

type TextModule = typeof import("../text/open.ts");
type Text = ReturnType<TextModule["createTokenizerFrom"]>;

/**
 * The model of a page: class Model of model.ts, in a worker of its own, so that the page never waits for a step. Only a
 * tokenizer or a chat template that the page asks for works on the page's thread, and is built when it does.
 */
export class Model implements Pick<LocalModel, keyof LocalModel> {
	readonly #connection: Connection;
	readonly #facts: LoadedFacts;
	readonly #createTokenizerFrom: TextModule["createTokenizerFrom"];
	#text: Text | undefined;
	#disposed: Promise<void> | undefined;

	static async load(
		source?: Source,
		options: LoadOptions = {},
	): Promise<Model> {
		options.signal?.throwIfAborted();
		const text = import("../text/open.ts");
		const connection = await connectEngine();
		try {
			const facts = await new Promise<LoadedFacts>((resolve, reject) => {
				connection.channel
					.call("run", postSource(source), options, webAssets, resolve)
					.catch(reject);
			});
			const { createTokenizerFrom } = await text;
			options.signal?.throwIfAborted();
			return new Model(connection, facts, createTokenizerFrom);
		} catch (error) {
			await connection.close(new EngineError("the model was not loaded"));
			throw error;
		}
	}

	static async inspect(
		source?: Source,
		options: SourceOptions = {},
	): Promise<Inspection> {
		return ask("inspect", source, options);
	}

	static async estimate(
		source?: Source,
		options: LoadOptions = {},
	): Promise<Estimate> {
		return ask("estimate", source, options);
	}

	static async *readTensor(
		source: Source | undefined,
		name: string,
		options: SourceOptions = {},
	): AsyncGenerator<TensorPiece, void> {
		const { readTensor } = await import("./web-here.ts");
		yield* readTensor(source, name, options);
	}

	private constructor(
		connection: Connection,
		facts: LoadedFacts,
		createTokenizerFrom: TextModule["createTokenizerFrom"],
	) {
		this.#connection = connection;
		this.#facts = facts;
		this.#createTokenizerFrom = createTokenizerFrom;
	}

	get info(): ModelInfo {
		const { info } = this.#facts;
		const { here } = this.#connection;
		if (here === undefined) return info;
		const limits = [`the engine has no thread of its own: ${here}`];
		if (info.threadLimit) limits.push(info.threadLimit);
		return { ...info, threadLimit: limits.join("; ") };
	}

	get config(): Readonly<Record<string, unknown>> {
		return this.#facts.config;
	}

	get tokenizer(): Tokenizer {
		const text = this.#builtText();
		if (text) return text.tokenizer;
		throw new UnsupportedError(
			`${this.info.name}: has no tokenizer, only token ids can be given`,
		);
	}

	get chatTemplate(): ChatTemplate {
		const chatTemplate = this.#builtText()?.chatTemplate;
		if (chatTemplate) return chatTemplate;
		throw new UnsupportedError(
			`${this.info.name}: has no chat template, expected a text as prompt instead of messages`,
		);
	}

	#builtText(): Text | undefined {
		const { text } = this.#facts;
		if (text) this.#text ??= this.#createTokenizerFrom(...decodeText(text));
		return this.#text;
	}

	generate(
		prompt: Prompt,
		options: GenerateCallOptions = {},
	): Generation<Part, GenerateResult> {
		return new Generation((emit, left) => {
			const emitAll = (parts: readonly Part[]) => parts.forEach(emit);
			return this.#call(
				"generate",
				options.signal,
				prompt,
				lent(options),
				emitAll,
				left,
			);
		});
	}

	logits(
		ids: readonly number[],
		options: Parameters<LocalModel["logits"]>[1] = {},
	): Promise<Float32Array[]> {
		return this.#call("logits", options.signal, ids, options);
	}

	async #call<Result>(
		name: string,
		signal: AbortSignal | undefined,
		...args: readonly unknown[]
	): Promise<Result> {
		signal?.throwIfAborted();
		return this.#connection.channel.call(name, ...args);
	}

	dispose(): Promise<void> {
		this.#disposed ??= this.#connection.close(
			new EngineError(`${this.info.name}: the model was disposed`),
		);
		return this.#disposed;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}
}

/** What an engine can say of a checkpoint without loading it: a vocabulary alone would keep the page waiting. */
async function ask<Result>(
	name: "inspect" | "estimate",
	source: Source | undefined,
	options: LoadOptions,
): Promise<Result> {
	options.signal?.throwIfAborted();
	const { channel, close } = await connectEngine();
	try {
		return await channel.call(name, postSource(source), options, webAssets);
	} finally {
		await close(new EngineError("the engine was only asked"));
	}
}

/** What functions give another thread has to be something that can be posted. */
function lent(options: GenerateCallOptions): GenerateCallOptions {
	const { logitsProcessors, allowedTokens } = options;
	return {
		...options,
		...(Array.isArray(logitsProcessors) && {
			logitsProcessors: logitsProcessors.map((process) =>
				typeof process === "function"
					? async (scores: Float32Array, ids: readonly number[]) => {
							await process(scores, ids);
							return scores;
						}
					: process,
			),
		}),
		...(typeof allowedTokens === "function" && {
			allowedTokens: async (ids: readonly number[]) => [
				...(await allowedTokens(ids)),
			],
		}),
	};
}
