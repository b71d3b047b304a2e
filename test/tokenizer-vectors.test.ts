import { describe, expect, test } from "vitest";
import { parseHeader } from "../src/formats/gguf-header.ts";
import { createGgufTokenizer } from "../src/text/gguf-tokenizer.ts";
import type { Tokenizer } from "../src/text/tokenizer.ts";
import { createTokenizer } from "../src/text/tokenizer-json.ts";
import {
	missingShared,
	sharedBytes,
	sharedJson,
	sharedText,
} from "./shared.ts";

/** Every vocabulary that is there, and the vectors that others made with it. */

const SMOLLM3 = "data/tokenizers/smollm3/tokenizer.RECONSTRUCTED.json";
const LLAMA3_CONFIG =
	"data/tokenizers/llama3/Llama-3.2-1B-Instruct.tokenizer_config.json";
const SWIFT = "data/expected/swift-transformers.tokenizer_tests.json";
const TOKENIZERS_JS = "data/expected/tokenizers.js.tokenizations.json";

interface Vocabulary {
	readonly needs: readonly string[];
	readonly make: () => Tokenizer;
}

function gguf(name: string): Vocabulary {
	const path = `data/gguf-vocab/ggml-vocab-${name}.gguf`;
	return {
		needs: [path],
		make() {
			const bytes = sharedBytes(path);
			const { metadata } = parseHeader(bytes, bytes.length, path);
			return createGgufTokenizer(metadata, path);
		},
	};
}

const gpt2 = gguf("gpt-2");
const llama2 = gguf("llama-spm");

/** SmolLM3's words and merges are Llama 3's. */
const llama3Words: Vocabulary = {
	needs: [SMOLLM3],
	make: () => createTokenizer({ tokenizer: sharedJson(SMOLLM3) }),
};

/** Llama 3's own added tokens, and its bos. */
const llama3: Vocabulary = {
	needs: [SMOLLM3, LLAMA3_CONFIG],
	make() {
		const tokenizer = sharedJson(SMOLLM3);
		const config = sharedJson(LLAMA3_CONFIG);
		tokenizer.added_tokens = Object.entries(config.added_tokens_decoder).map(
			([id, token]) => ({ id: Number(id), ...(token as object) }),
		);
		const bos = config.bos_token;
		tokenizer.post_processor = {
			type: "TemplateProcessing",
			single: [
				{ SpecialToken: { id: bos, type_id: 0 } },
				{ Sequence: { id: "A", type_id: 0 } },
			],
			pair: [],
			special_tokens: { [bos]: { id: bos, ids: [128000], tokens: [bos] } },
		};
		return createTokenizer({ tokenizer, config });
	},
};

describe("llama.cpp's vectors", () => {
	const sets: Record<string, Vocabulary> = {
		"gpt-2": gpt2,
		starcoder: gguf("starcoder"),
		"llama-spm": llama2,
		"llama-bpe": llama3Words,
	};
	for (const [name, { needs, make }] of Object.entries(sets)) {
		const base = `data/gguf-vocab/ggml-vocab-${name}.gguf`;
		const reason = missingShared(`${base}.inp`, `${base}.out`, ...needs);
		test.skipIf(reason !== "")(name, () => {
			const tokenizer = make();
			const inputs = sharedText(`${base}.inp`)
				.split("\n__ggml_vocab_test__\n")
				.slice(0, 46);
			const outputs = sharedText(`${base}.out`).split("\n");
			expect(inputs.length).toBe(46);
			for (const [i, input] of inputs.entries()) {
				const expected = (outputs[i] ?? "").trim();
				const ids = tokenizer.encode(input, { addSpecialTokens: false });
				expect(ids.join(" "), JSON.stringify(input)).toBe(
					expected.split(/\s+/).join(" "),
				);
				expect(tokenizer.decode(ids)).toBe(input);
			}
		});
	}
});

interface SwiftCase {
	input: string;
	encoded: { input_ids: number[] };
	decoded_with_special: string;
	decoded_without_special: string;
}

describe("swift-transformers' vectors", () => {
	/** Whether their decoder, of an older release of transformers, cleaned up spaces. */
	const sets: Record<string, Vocabulary & { cleaned: boolean }> = {
		distilgpt2: { ...gpt2, cleaned: true },
		"coreml-projects/Llama-2-7b-chat-coreml": { ...llama2, cleaned: false },
		"pcuenq/Llama-3.2-1B-Instruct-tokenizer": { ...llama3, cleaned: true },
	};
	for (const [name, { needs, make, cleaned }] of Object.entries(sets)) {
		const reason = missingShared(SWIFT, ...needs);
		test.skipIf(reason !== "")(name, () => {
			const tokenizer = make();
			const cases = sharedJson(SWIFT)[name] as SwiftCase[];
			expect(cases.length).toBe(18);
			for (const { input, encoded, ...decoded } of cases) {
				const ids = encoded.input_ids;
				expect(tokenizer.encode(input), input).toEqual(ids);
				const options = { cleanUpTokenizationSpaces: cleaned };
				expect(tokenizer.decode(ids, options)).toBe(
					decoded.decoded_with_special,
				);
				expect(
					tokenizer.decode(ids, { ...options, skipSpecialTokens: true }),
				).toBe(decoded.decoded_without_special);
			}
		});
	}
});

interface TokenizersJsCase {
	text: string;
	ids: number[];
	decoded: string;
}

describe("tokenizers.js' vectors", () => {
	const sets: Record<string, Vocabulary & { cleaned: boolean }> = {
		"Xenova/gpt2": { ...gpt2, cleaned: true },
		"openai-community/gpt2": { ...gpt2, cleaned: true },
		"Xenova/llama-tokenizer": { ...llama2, cleaned: false },
		"Xenova/llama3-tokenizer": { ...llama3Words, cleaned: true },
		"Xenova/llama3-tokenizer-new": { ...llama3, cleaned: true },
	};
	for (const [name, { needs, make, cleaned }] of Object.entries(sets)) {
		const reason = missingShared(TOKENIZERS_JS, ...needs);
		test.skipIf(reason !== "")(name, () => {
			const tokenizer = make();
			const cases = sharedJson(TOKENIZERS_JS)[name];
			for (const [id, expected] of Object.entries(cases)) {
				const { text, ids, decoded } = expected as TokenizersJsCase;
				expect(tokenizer.encode(text), `${id} ${text}`).toEqual(ids);
				expect(
					tokenizer.decode(ids, { cleanUpTokenizationSpaces: cleaned }),
					id,
				).toBe(decoded);
			}
		});
	}
});
