import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	createDetokenizer,
	type DetokenizerOptions,
} from "../src/text/detokenizer.ts";
import { createGgufTokenizer } from "../src/text/gguf-tokenizer.ts";
import type { Tokenizer } from "../src/text/tokenizer.ts";
import { createTokenizer } from "../src/text/tokenizer-json.ts";
import { nanoGemma3, nanoSmollm3 } from "./nano-tokenizers.ts";

/** Every way in which a text can begin: with spaces stripped, and with the first token's mark dropped. */
const tokenizers: Record<string, Tokenizer> = {
	"byte-level": nanoSmollm3(),
	"byte fallback": nanoGemma3(),
	"space prefix": createGgufTokenizer(
		new Map<string, unknown>([
			["tokenizer.ggml.model", "llama"],
			[
				"tokenizer.ggml.tokens",
				["<unk>", "<s>", "▁", "▁▁a", "a", "😀"].concat(
					["E2", "9C", "93", "F0", "C3", "20"].map((byte) => `<0x${byte}>`),
				),
			],
			["tokenizer.ggml.token_type", [2, 3, 1, 1, 1, 1, 6, 6, 6, 6, 6, 6]],
			["tokenizer.ggml.scores", new Array(12).fill(0)],
		]),
	),
	"first token": createTokenizer({
		tokenizer: {
			decoder: { type: "Metaspace", prepend_scheme: "always" },
			model: {
				type: "BPE",
				vocab: { "▁": 0, "▁▁a": 1, "a▁": 2, b: 3 },
				merges: [],
			},
			added_tokens: [{ id: 4, content: "<x>", special: true }],
		},
	}),
};

function streamed(
	tokenizer: Tokenizer,
	ids: readonly number[],
	options: DetokenizerOptions,
): string {
	const detokenizer = createDetokenizer(tokenizer, options);
	return ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush();
}

describe("token by token equals all at once", () => {
	for (const [name, tokenizer] of Object.entries(tokenizers)) {
		const ids = fc.array(fc.nat(tokenizer.vocabularySize + 2), {
			maxLength: 30,
		});
		test(name, () => {
			fc.assert(
				fc.property(ids, fc.boolean(), (ids, skipSpecialTokens) => {
					expect(streamed(tokenizer, ids, { skipSpecialTokens })).toBe(
						tokenizer.decode(ids, { skipSpecialTokens }),
					);
				}),
				{ numRuns: 500 },
			);
		});
		test(`${name}, for any text`, () => {
			fc.assert(
				fc.property(fc.string({ unit: "binary" }), (text) => {
					const ids = tokenizer.encode(text);
					const all = tokenizer.decode(ids, { skipSpecialTokens: true });
					expect(streamed(tokenizer, ids, { skipSpecialTokens: true })).toBe(
						all,
					);
				}),
			);
		});
	}
});

describe("a detokenizer", () => {
	const tokenizer = tokenizers["byte-level"] as Tokenizer;

	test("waits for the last byte of a character", () => {
		const ids = tokenizer.encode("a🙂b");
		const detokenizer = createDetokenizer(tokenizer);
		const pieces = ids.map((id) => detokenizer.push(id));
		expect(pieces.filter((piece) => piece !== "")).toEqual(["a", "🙂", "b"]);
		expect(detokenizer.flush()).toBe("");
	});

	test("gives U+FFFD for a character that stays incomplete", () => {
		const detokenizer = createDetokenizer(tokenizer);
		const [first] = tokenizer.encode("🙂");
		expect(detokenizer.push(first as number)).toBe("");
		expect(detokenizer.flush()).toBe("\ufffd");
		expect(detokenizer.push(tokenizer.tokenId("a") as number)).toBe("a");
	});

	test("keeps a byte order mark", () => {
		expect(streamed(tokenizer, tokenizer.encode("\ufeffa"), {})).toBe(
			"\ufeffa",
		);
	});

	test("keeps chosen control tokens", () => {
		const ids = tokenizer.encode("<|im_start|>a<|im_end|>");
		const keep = new Set([tokenizer.tokenId("<|im_end|>") as number]);
		expect(streamed(tokenizer, ids, { skipSpecialTokens: true, keep })).toBe(
			"a<|im_end|>",
		);
	});

	test("keeps the first word's space in the middle of a text", () => {
		const spaced = tokenizers["space prefix"] as Tokenizer;
		expect(streamed(spaced, [2, 4], {})).toBe("a");
		expect(streamed(spaced, [2, 4], { continues: true })).toBe(" a");
		expect(streamed(spaced, [3], {})).toBe(" a");
	});
});
