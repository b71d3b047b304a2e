import { describe, expect, test } from "vitest";
import { CheckpointError, UnsupportedError } from "../src/errors.ts";
import { parseHeader } from "../src/formats/gguf-header.ts";
import {
	createGgufTokenizer,
	ggufChatTemplates,
} from "../src/text/gguf-tokenizer.ts";
import type { Tokenizer } from "../src/text/tokenizer.ts";
import { createTokenizer } from "../src/text/tokenizer-json.ts";
import { fixtureJson } from "./fixture.ts";
import { nanoGemma3, nanoSmollm3 } from "./nano-tokenizers.ts";
import { missingShared, sharedBytes, sharedJson } from "./shared.ts";

/** Made by test/fixtures/text/make.py with the Hugging Face tokenizers library and SentencePiece. */
const reference = fixtureJson("text/tokenizers.json");
const texts: string[] = reference.texts;

interface ReferenceSet {
	ids: number[][];
	decoded: string[];
	skipped: string[];
	loose: number[][];
	looseDecoded: string[];
}

const fromData = (path: string) => ({
	needs: [path],
	make: () => createTokenizer({ tokenizer: sharedJson(path) }),
});

const sets: Record<string, { needs: string[]; make: () => Tokenizer }> = {
	smollm2: fromData("data/tokenizers/smollm2/tokenizer.json"),
	smollm3: fromData("data/tokenizers/smollm3/tokenizer.RECONSTRUCTED.json"),
	minueza: fromData("data/tokenizers/llama2/minueza32m.tokenizer.json"),
	tinystories: fromData("data/TinyStories-656K/tokenizer.json"),
	"nano-smollm3": { needs: [], make: nanoSmollm3 },
	"nano-gemma3": { needs: [], make: nanoGemma3 },
};

/** Where decoding differs from the reference on purpose. */
const knownDivergences: Record<string, string> = {
	tinystories:
		"the reference spells added tokens that are matched in normalized text with the normalizer's prefix, and then does not skip them",
};

describe("against the reference implementation", () => {
	for (const [name, { needs, make }] of Object.entries(sets)) {
		const reason = missingShared(...needs);
		test.skipIf(reason !== "")(name, () => {
			const tokenizer = make();
			const { ids, decoded, skipped, loose, looseDecoded } = reference.sets[
				name
			] as ReferenceSet;
			for (const [i, text] of texts.entries()) {
				expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids[i]);
			}
			if (name in knownDivergences) return;
			for (const [i, given] of ids.entries()) {
				expect(tokenizer.decode(given)).toBe(decoded[i]);
				expect(tokenizer.decode(given, { skipSpecialTokens: true })).toBe(
					skipped[i],
				);
			}
			// Of an ill-formed run of byte tokens the reference makes one U+FFFD per byte, we one per ill-formed part.
			const wellFormed = loose.filter(
				(_, i) => !looseDecoded[i]?.includes("�"),
			);
			expect(wellFormed.length).toBeGreaterThan(3);
			for (const given of wellFormed) {
				expect(tokenizer.decode(given)).toBe(
					looseDecoded[loose.indexOf(given)],
				);
			}
		});
	}

	const llama2 = "data/gguf-vocab/ggml-vocab-llama-spm.gguf";
	const reason = missingShared(llama2);
	test.skipIf(reason !== "")("SentencePiece", () => {
		const bytes = sharedBytes(llama2);
		const { metadata } = parseHeader(bytes, bytes.length, llama2);
		const tokenizer = createGgufTokenizer(metadata, llama2);
		const options = { addSpecialTokens: false, parseSpecialTokens: false };
		for (const [i, text] of texts.entries()) {
			expect(tokenizer.encode(text, options), JSON.stringify(text)).toEqual(
				reference.sentencepiece[i],
			);
		}
	});

	test("the nano model's prompts", () => {
		const tokenizer = nanoSmollm3();
		for (const { text, input_ids } of fixtureJson("nano-smollm3/golden.json")
			.cases) {
			// The longest was cut to what the model takes.
			const ids = tokenizer.encode(text).slice(0, input_ids.length);
			expect(ids).toEqual(input_ids);
			expect(text.startsWith(tokenizer.decode(ids))).toBe(true);
		}
	});

	const smollm3 = "data/tokenizers/smollm3/tokenizer.RECONSTRUCTED.json";
	const smollm3Config = "data/tokenizers/smollm3/tokenizer_config.json";
	const lacking = missingShared(smollm3, smollm3Config);
	test.skipIf(lacking !== "")("SmolLM3 with its configuration", () => {
		const tokenizer = createTokenizer({
			tokenizer: sharedJson(smollm3),
			config: sharedJson(smollm3Config),
		});
		// The example of @huggingface/tokenizers' README: no bos.
		expect(tokenizer.encode("Hello World")).toEqual([9906, 4435]);
		expect(tokenizer.bosId).toBeUndefined();
		expect(tokenizer.eosId).toBe(128012);
		expect(tokenizer.endIds).toEqual([128012]);
		expect(tokenizer.vocabularySize).toBe(128256);
		expect(tokenizer.specialTokens).toEqual({
			eos_token: "<|im_end|>",
			pad_token: "<|im_end|>",
		});
		expect(tokenizer.isSpecial(128012)).toBe(true);
		expect(tokenizer.isSpecial(128002)).toBe(false);
		// Its configuration asks to clean up spaces, which would damage code.
		expect(tokenizer.decode(tokenizer.encode("if ( x ) , y ."))).toBe(
			"if ( x ) , y .",
		);
	});
});

describe("tokenizer.json", () => {
	const vocab = Object.fromEntries(
		["a", "b", "ab", "constructor", "Ġ", "Ġa", "½"].map((t, i) => [t, i]),
	);
	const tiny = (changes: object = {}, model: object = {}) =>
		createTokenizer({
			tokenizer: {
				model: { type: "BPE", vocab, merges: ["a b"], ...model },
				...changes,
			},
		});

	test("may lack everything but the model", () => {
		const tokenizer = tiny();
		expect(tokenizer.encode("abba")).toEqual([2, 1, 0]);
		expect(tokenizer.decode([2, 1, 0])).toBe("ab b a");
		expect(tokenizer.vocabularySize).toBe(7);
	});

	test("decodes nothing, typed arrays and unknown ids", () => {
		const tokenizer = nanoSmollm3();
		expect(tokenizer.decode([])).toBe("");
		const ids = tokenizer.encode("Once upon");
		expect(tokenizer.decode(Uint32Array.from(ids))).toBe("Once upon");
		expect(tokenizer.decode([...ids, 5000, -1, 0.5])).toBe("Once upon");
	});

	test("takes names of Object's members for words", () => {
		const tokenizer = tiny({}, { ignore_merges: true });
		expect(tokenizer.encode("constructor")).toEqual([3]);
		expect(tokenizer.tokenId("toString")).toBeUndefined();
		expect(tokenizer.tokenId("__proto__")).toBeUndefined();
	});

	test("reads unpaired surrogates as U+FFFD", () => {
		const tokenizer = nanoSmollm3();
		expect(tokenizer.encode("a\ud800b\udc00")).toEqual(
			tokenizer.encode("a\ufffdb\ufffd"),
		);
	});

	test("can take control tokens for text", () => {
		const tokenizer = nanoSmollm3();
		const text = "<|im_end|>x<think>";
		const ids = tokenizer.encode(text, { parseSpecialTokens: false });
		expect(ids.some((id) => tokenizer.isSpecial(id))).toBe(false);
		expect(ids).toContain(tokenizer.tokenId("<think>"));
		expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(text);
	});

	test("swallows white space around added tokens that ask for it", () => {
		const added = (content: string, id: number, rest: object) => ({
			...{ id, content, special: true, normalized: false },
			...rest,
		});
		const tokenizer = tiny({
			added_tokens: [
				added("<l>", 10, { lstrip: true }),
				added("<r>", 11, { rstrip: true }),
				added("<w>", 12, { single_word: true }),
				added("<lo>", 13, {}),
				added("<long>", 14, {}),
			],
		});
		expect(tokenizer.encode("a <l> a")).toEqual([0, 10, 0]);
		expect(tokenizer.encode("a<r>\n a")).toEqual([0, 11, 0]);
		expect(tokenizer.encode("<w>")).toEqual([12]);
		expect(tokenizer.encode("a<w>")).toEqual([0]);
		expect(tokenizer.encode("<long><lo><lon")).toEqual([14, 13]);
	});

	test("adds bos where Llama's configuration says so", () => {
		const tokenizer = (add_bos_token: boolean) =>
			createTokenizer({
				tokenizer: { model: { type: "BPE", vocab, merges: [] } },
				config: {
					tokenizer_class: "LlamaTokenizer",
					bos_token: { content: "ab" },
					add_bos_token,
				},
			});
		expect(tokenizer(true).encode("b")).toEqual([2, 1]);
		expect(tokenizer(false).encode("b")).toEqual([1]);
		expect(tokenizer(true).encode("b", { addSpecialTokens: false })).toEqual([
			1,
		]);
	});

	test("splits at every mark where Metaspace says so", () => {
		const pieces = ["▁", "a", "▁a", "a▁", "a▁a"];
		const tokenizer = (split: boolean) =>
			createTokenizer({
				tokenizer: {
					pre_tokenizer: { type: "Metaspace", prepend_scheme: "first", split },
					decoder: { type: "Metaspace", prepend_scheme: "first", split },
					model: {
						type: "BPE",
						vocab: Object.fromEntries(pieces.map((p, i) => [p, i])),
						merges: ["a ▁", "a▁ a", "▁ a"],
					},
				},
			});
		expect(tokenizer(false).encode("a a")).toEqual([0, 4]);
		expect(tokenizer(true).encode("a a")).toEqual([2, 2]);
		expect(tokenizer(true).decode([2, 2])).toBe("a a");
	});

	test("says what it cannot use", () => {
		const unigram = () => tiny({ model: { type: "Unigram", vocab: [] } });
		expect(unigram).toThrow(UnsupportedError);
		expect(unigram).toThrow(/"Unigram", expected "BPE"/);
		expect(() => tiny({ decoder: { type: "WordPiece" } })).toThrow(
			/decoder .*WordPiece.* is not supported/,
		);
		expect(() => tiny({ pre_tokenizer: { type: "UnicodeScripts" } })).toThrow(
			/UnicodeScripts/,
		);
		expect(() => tiny({ pre_tokenizer: { type: "Split" } })).toThrow(
			/Split pre-tokenizer has the pattern undefined, expected a Regex/,
		);
		expect(() => tiny({ model: null })).toThrow(CheckpointError);
		expect(() => tiny({}, { end_of_word_suffix: "</w>" })).toThrow(
			/end_of_word_suffix/,
		);
	});

	test("says on first use what contradicts itself", () => {
		const use = (changes: object, model?: object) => () =>
			tiny(changes, model).encode("a");
		expect(use({}, { merges: ["a x"] })).toThrow(/"ax".* not in the vocabul/);
		expect(use({}, { merges: ["ab"] })).toThrow(
			/merge 0 is "ab", expected two/,
		);
		expect(use({}, { vocab: { a: 1e9 } })).toThrow(
			/id of token "a" is 1000000/,
		);
		expect(use({}, { vocab: { a: "1" } })).toThrow(CheckpointError);
		expect(use({}, { vocab: undefined })).toThrow(/"model.vocab" is missing/);
		expect(use({ added_tokens: [{ id: 3 }] })).toThrow(/has no content/);
		expect(
			use({
				post_processor: {
					type: "TemplateProcessing",
					single: [
						{ SpecialToken: { id: "<s>", type_id: 0 } },
						{ Sequence: { id: "A", type_id: 0 } },
					],
					pair: [],
					special_tokens: {},
				},
			}),
		).toThrow(/adds "<s>", which is not in the vocabulary/);
	});

	test("takes a text for one word without slowing down", () => {
		const tokenizer = nanoGemma3();
		const text = "Once upon a time there was a small red bird. ".repeat(5_000);
		const start = performance.now();
		const ids = tokenizer.encode(text);
		// Quadratic merging would take hours, building a list per merge minutes.
		expect(performance.now() - start).toBeLessThan(5_000);
		expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(text);
	});
});

describe("GGUF metadata", () => {
	const spm = (more: Record<string, unknown> = {}) =>
		new Map<string, unknown>(
			Object.entries({
				"tokenizer.ggml.model": "llama",
				"tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "▁", "a", "▁a", "  "],
				"tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1, 4],
				"tokenizer.ggml.scores": [0, 0, 0, -3, -2, -1, -1000],
				...more,
			}),
		);

	test("adds bos and a space to SentencePiece's texts unless told otherwise", () => {
		expect(createGgufTokenizer(spm()).encode("a")).toEqual([1, 5]);
		const plain = createGgufTokenizer(
			spm({
				"tokenizer.ggml.add_bos_token": false,
				"tokenizer.ggml.add_space_prefix": false,
				"tokenizer.ggml.add_eos_token": true,
			}),
		);
		expect(plain.encode("a")).toEqual([4, 2]);
		expect(plain.decode([3, 4])).toBe(" a");
		expect(createGgufTokenizer(spm()).decode([3, 4])).toBe("a");
	});

	test("finds user-defined tokens in the raw text", () => {
		const tokenizer = createGgufTokenizer(
			spm({ "tokenizer.ggml.add_space_prefix": false }),
		);
		const ids = tokenizer.encode("a  a", { addSpecialTokens: false });
		expect(ids).toEqual([4, 6, 4]);
		expect(tokenizer.decode(ids)).toBe("a  a");
	});

	test("takes lists that are not arrays, and ids out of range for none", () => {
		const metadata = spm({
			"tokenizer.ggml.tokens": new Set(["<unk>", "<s>", "</s>", "▁", "a"]),
			"tokenizer.ggml.scores": Float32Array.of(0, 0, 0, -3, -2),
			"tokenizer.ggml.token_type": Int32Array.of(2, 3, 3, 1, 1),
			"tokenizer.ggml.padding_token_id": 0xffffffff,
			"tokenizer.ggml.eos_token_id": 2n,
		});
		const tokenizer = createGgufTokenizer(metadata);
		expect(tokenizer.encode("a")).toEqual([1, 3, 4]);
		expect(tokenizer.eosId).toBe(2);
		expect(tokenizer.specialTokens).toEqual({
			bos_token: "<s>",
			eos_token: "</s>",
			unk_token: "<unk>",
		});
	});

	test("knows the tokens that end a turn by their text", () => {
		const tokenizer = createGgufTokenizer(
			spm({
				"tokenizer.ggml.tokens": ["<unk>", "<eos>", "<end_of_turn>", "</s>"],
				"tokenizer.ggml.token_type": [2, 3, 4, 1],
				"tokenizer.ggml.scores": [0, 0, 0, 0],
				"tokenizer.ggml.eos_token_id": 1,
			}),
		);
		expect(tokenizer.endIds).toEqual([1, 2, 3]);
	});

	test("lists chat templates by name", () => {
		expect(ggufChatTemplates(spm())).toBeUndefined();
		expect(
			ggufChatTemplates(
				spm({
					"tokenizer.chat_template": "x",
					"tokenizer.chat_template.tool_use": "y",
					"tokenizer.chat_templates": ["tool_use"],
				}),
			),
		).toEqual({ default: "x", tool_use: "y" });
	});

	test("says what it cannot use", () => {
		const open = (more: Record<string, unknown>) => () =>
			createGgufTokenizer(spm(more), "x.gguf").encode("a");
		expect(open({ "tokenizer.ggml.model": "t5" })).toThrow(
			/x\.gguf: tokenizer\.ggml\.model is "t5"/,
		);
		const pre = open({
			"tokenizer.ggml.model": "gpt2",
			"tokenizer.ggml.pre": "tekken",
		});
		expect(pre).toThrow(UnsupportedError);
		expect(pre).toThrow(
			/tokenizer\.ggml\.pre is "tekken", expected .*smaug-bpe/,
		);
		expect(open({ "tokenizer.ggml.tokens": [] })).toThrow(/tokens is empty/);
		expect(open({ "tokenizer.ggml.tokens": [1] })).toThrow(/has a number at 0/);
		expect(open({ "tokenizer.ggml.tokens": undefined })).toThrow(/missing/);
		expect(open({ "tokenizer.ggml.scores": [1] })).toThrow(/scores has 1 el/);
		expect(open({ "tokenizer.ggml.token_type": [1] })).toThrow(/type has 1 el/);
	});
});
