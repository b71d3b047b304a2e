import { readFileSync } from "node:fs";
import type { Tokenizer } from "../src/text/tokenizer.ts";
import { createTokenizer } from "../src/text/tokenizer-json.ts";

function tokenizerIn(folder: string): Tokenizer {
	const json = (name: string) =>
		JSON.parse(
			readFileSync(new URL(`${folder}/${name}`, import.meta.url), "utf8"),
		);
	return createTokenizer({
		tokenizer: json("tokenizer.json"),
		config: json("tokenizer_config.json"),
	});
}

/** Byte-level BPE with Llama 3's words; no bos. */
export const nanoSmollm3 = () => tokenizerIn("../models/nano-smollm3");

/** SentencePiece's BPE as tokenizer.json has it, with byte tokens; adds bos. */
export const nanoGemma3 = () => tokenizerIn("fixtures/nano-gemma3");
