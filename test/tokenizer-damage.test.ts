import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { NibbleError } from "../src/errors.ts";
import { createGgufTokenizer } from "../src/text/gguf-tokenizer.ts";
import { createTokenizer } from "../src/text/tokenizer-json.ts";
import { type Json, paths, replaced, WRONG } from "./mutate-json.ts";
import { printCount } from "./survive.ts";

function json(path: string): Json {
	return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
}

let damaged = 0;
let read = 0;
afterAll(() => printCount("tokenizers", damaged, read));

/** Runs it, and lets no error pass but our own. */
function ours(run: () => void): void {
	damaged++;
	try {
		run();
		read++;
	} catch (error) {
		expect(error).toBeInstanceOf(NibbleError);
	}
}

const wrong = fc.constantFrom(...WRONG);

describe("damaged tokenizers give errors of ours", () => {
	for (const folder of ["../models/nano-smollm3", "fixtures/nano-gemma3"]) {
		test(folder, () => {
			const files = {
				tokenizer: json(`${folder}/tokenizer.json`),
				config: json(`${folder}/tokenizer_config.json`),
			};
			const path = fc.constantFrom(...paths(files).filter((p) => p.length > 1));
			fc.assert(
				fc.property(path, wrong, (path, by) => {
					const damaged = replaced(files, path, by) as typeof files;
					ours(() => {
						const tokenizer = createTokenizer(damaged);
						tokenizer.decode(tokenizer.encode("Once upon a time <think> 12"));
					});
				}),
				{ numRuns: 600 },
			);
		});
	}

	for (const model of ["gpt2", "llama"]) {
		test(`GGUF ${model}`, () => {
			const metadata: Json = {
				"tokenizer.ggml.model": model,
				"tokenizer.ggml.pre": "gpt-2",
				"tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a", "b", "ab"],
				"tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1],
				"tokenizer.ggml.scores": [0, 0, 0, -3, -2, -1],
				"tokenizer.ggml.merges": ["a b"],
				"tokenizer.ggml.bos_token_id": 1,
				"tokenizer.ggml.add_bos_token": true,
			};
			fc.assert(
				fc.property(fc.constantFrom(...paths(metadata)), wrong, (path, by) => {
					if (path.length === 0) return;
					const damaged = replaced(metadata, path, by) as Json;
					ours(() => {
						const tokenizer = createGgufTokenizer(
							new Map(Object.entries(damaged)),
						);
						tokenizer.decode(tokenizer.encode("abc <s>"));
						void tokenizer.specialTokens;
						void tokenizer.endIds;
					});
				}),
				{ numRuns: 400 },
			);
		});
	}
});
