import { endTokenIds } from "../gguf-conventions.ts";
import { defined, keysOf } from "./gguf-config.ts";
import type { GgufMetadata } from "./gguf-metadata.ts";

type Config = Readonly<Record<string, unknown>>;

/**
 * `bos_token_id`, `pad_token_id` and the list `eos_token_id`, as config.json and generation_config.json have them: the end
 * tokens that the file names, and those found by what they are called.
 */
export function tokenIdsOf(metadata: GgufMetadata, file: string): Config {
	const keys = keysOf(metadata, "tokenizer.ggml.", file);
	const tokens = keys.list("tokens") ?? [];
	const id = (key: string) => {
		const value = keys.number(`${key}_token_id`);
		// Absent ids are also written as 2^32 - 1.
		return value !== undefined && value < tokens.length ? value : undefined;
	};
	const named = [id("eos"), id("eot"), id("eom")].filter(
		(end) => end !== undefined,
	);
	const ends = [...new Set([...named, ...endTokenIds(tokens)])];
	return defined({
		bos_token_id: id("bos"),
		eos_token_id: ends.length > 0 ? ends : undefined,
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
