// What is agreed on about GGUF files and not written in them. It is needed where they are found (sources/), opened
// (formats/) and asked for their tokens (text/).

/** tokenizer.ggml.token_type */
export const TokenType = {
	normal: 1,
	unknown: 2,
	control: 3,
	userDefined: 4,
} as const;

/** Tokens that end a turn or a text wherever a vocabulary has them, as llama.cpp has it. */
const END_TOKENS: ReadonlySet<unknown> = new Set([
	"<|im_end|>",
	"<|eot_id|>",
	"<|eom_id|>",
	"<|end|>",
	"<end_of_turn>",
	"<|endoftext|>",
	"<|end_of_text|>",
	"</s>",
	"<eos>",
]);

/**
 * Ids of the tokens that end a turn or a text, by what they are called and whatever their type, as in llama.cpp. A GGUF
 * file names one end token, a model may have several: Gemma ends a text with `<eos>` and a turn with `<end_of_turn>`.
 * @param tokens tokenizer.ggml.tokens
 */
export function endTokenIds(tokens: readonly unknown[]): number[] {
	return [...tokens.keys()].filter((id) => END_TOKENS.has(tokens[id]));
}

/** Whether a file holds a model, by its name: neither the half that sees of one ("mmproj-…"), nor a later part. */
export function isGgufModel(file: string): boolean {
	const [, part = "1"] = /-(\d{5})-of-\d{5}\.gguf$/i.exec(file) ?? [];
	return (
		/\.gguf$/i.test(file) && !/(^|\/)mmproj/i.test(file) && Number(part) === 1
	);
}
