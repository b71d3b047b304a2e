import { defined, keysOf } from "./gguf-config.ts";
import type { GgufMetadata } from "./gguf-metadata.ts";

/** Tokens that end a turn or a text wherever a vocabulary has them, as llama.cpp has it. */
const END_TOKENS: ReadonlySet<unknown> = new Set([
	"<|im_end|>",
	"<|eot_id|>",
	"<|end|>",
	"<end_of_turn>",
	"<|endoftext|>",
	"</s>",
	"<|eom_id|>",
	"<|end_of_text|>",
	"<eos>",
]);

type Config = Readonly<Record<string, unknown>>;

/**
 * `bos_token_id`, `pad_token_id` and the list `eos_token_id`, as config.json and generation_config.json have them. A GGUF
 * file names one end token, a model may have several (Gemma ends a text with 1 and a turn with 106): the others are
 * found by what they are called.
 */
export function tokenIdsOf(metadata: GgufMetadata, file: string): Config {
	const keys = keysOf(metadata, "tokenizer.ggml.", file);
	const tokens = keys.list("tokens") ?? [];
	const id = (key: string) => {
		const value = keys.number(`${key}_token_id`);
		// Absent ids are also written as 2^32 - 1.
		return value !== undefined && value < tokens.length ? value : undefined;
	};
	const ends = new Set<number>();
	for (const end of [id("eos"), id("eot"), id("eom")])
		if (end !== undefined) ends.add(end);
	for (const [token, text] of tokens.entries())
		if (END_TOKENS.has(text)) ends.add(token);
	return defined({
		bos_token_id: id("bos"),
		eos_token_id: ends.size > 0 ? [...ends] : undefined,
		pad_token_id: id("padding"),
	});
}

/** What the model's author recommends to sample with, in generation_config.json's words; empty where the file is silent. */
export function samplingOf(metadata: GgufMetadata, file: string): Config {
	const keys = keysOf(metadata, "general.sampling.", file);
	const options = defined({
		temperature: keys.number("temp"),
		top_k: keys.number("top_k"),
		top_p: keys.number("top_p"),
		min_p: keys.number("min_p"),
	});
	return Object.keys(options).length > 0
		? { do_sample: true, ...options }
		: options;
}
