import {
	isolated,
	type PreTokenizerNode,
	preTokenizerParts,
	sequence,
} from "./pre-tokenizer.ts";

/** What llama.cpp's name for a pre-tokenizer stands for. Words are written in GPT-2's byte alphabet in all of them. */
export interface GgufPreTokenizer {
	/** What finds the words, as tokenizer.json would say it. */
	readonly words: unknown;
	/** A word that is itself a token stays whole, whether merges lead to it or not. */
	readonly ignoreMerges: boolean;
	/** Whether texts begin with bos where the file does not say. */
	readonly addBos: boolean;
}

const { words: gpt2Words } = preTokenizerParts({ type: "ByteLevel" });

/** Llama 3's words; `digits` says how many digits make one. */
const llama3Words = (digits: string) =>
	isolated(
		`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
	);

const digitWise: GgufPreTokenizer = {
	words: sequence(isolated("\\p{N}"), gpt2Words as PreTokenizerNode),
	ignoreMerges: false,
	addBos: false,
};

const llama3: GgufPreTokenizer = {
	words: llama3Words("\\p{N}{1,3}"),
	ignoreMerges: true,
	addBos: true,
};

/** By `tokenizer.ggml.pre`. */
export const ggufPreTokenizers: ReadonlyMap<string, GgufPreTokenizer> = new Map(
	[
		["gpt-2", { words: gpt2Words, ignoreMerges: false, addBos: false }],
		["llama-bpe", llama3],
		["llama3", llama3],
		["llama-v3", llama3],
		// SmolLM3's. The vocabulary is Llama 3's, and so is the rule about whole words, which the name does not tell.
		["smaug-bpe", { ...llama3, addBos: false }],
		["smollm", digitWise],
		["starcoder", digitWise],
		["refact", digitWise],
		[
			"qwen2",
			{ words: llama3Words("\\p{N}"), ignoreMerges: false, addBos: false },
		],
	],
);
