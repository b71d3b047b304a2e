import { CheckpointError, UnsupportedError } from "../errors.ts";
import { TokenType } from "../gguf-conventions.ts";
import { bpe } from "./bpe.ts";
import { byteLevelSpell } from "./byte-level.ts";
import type { ChatTemplates } from "./chat-template.ts";
import { buildComponents } from "./components.ts";
import { type GgufKeys, type GgufMetadata, ggufKeys } from "./gguf-keys.ts";
import { type GgufPreTokenizer, ggufPreTokenizers } from "./gguf-pre.ts";
import { tokenizerFrom } from "./pipeline.ts";
import { byteLevelSpelling, sentencePieceSpelling } from "./spelling.ts";
import { spm } from "./spm.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { vocabularyFromList } from "./vocabulary.ts";

/**
 * The tokenizer that a GGUF file's metadata describes: byte-level BPE (`tokenizer.ggml.model` "gpt2", split as
 * `tokenizer.ggml.pre` says) or SentencePiece by scores ("llama").
 * @param where The file, for error messages.
 * @throws UnsupportedError for another model or an unknown `pre`, CheckpointError for metadata that is missing or
 * contradicts itself (on first use, where only the vocabulary shows it).
 */
export function createGgufTokenizer(
	metadata: GgufMetadata,
	where = "GGUF metadata",
): Tokenizer {
	const keys = ggufKeys(metadata, where);
	const model = metadata.get("tokenizer.ggml.model");
	if (model === "llama") return spmTokenizer(keys);
	if (model !== "gpt2") {
		throw new UnsupportedError(
			`${where}: tokenizer.ggml.model is ${shown(model)}, expected "gpt2" or "llama"`,
		);
	}
	const pre = metadata.get("tokenizer.ggml.pre");
	const preTokenizer = ggufPreTokenizers.get(String(pre));
	if (preTokenizer === undefined) {
		throw new UnsupportedError(
			`${where}: tokenizer.ggml.pre is ${shown(pre)}, expected one of ${[...ggufPreTokenizers.keys()].join(", ")}`,
		);
	}
	return bpeTokenizer(keys, preTokenizer);
}

/** The chat templates in a GGUF file's metadata, by name; the unnamed one is "default". Undefined if there are none. */
export function ggufChatTemplates(
	metadata: GgufMetadata,
): ChatTemplates | undefined {
	const templates: Record<string, string> = {};
	const prefix = "tokenizer.chat_template";
	// By key, since walking over the values would decode every array.
	for (const key of metadata.keys()) {
		if (key !== prefix && !key.startsWith(`${prefix}.`)) continue;
		const value = metadata.get(key);
		if (typeof value !== "string") continue;
		templates[key.slice(prefix.length + 1) || "default"] = value;
	}
	return Object.keys(templates).length > 0 ? templates : undefined;
}

function bpeTokenizer(
	keys: GgufKeys,
	{ words, ignoreMerges, addBos }: GgufPreTokenizer,
): Tokenizer {
	const special = () => keys.special({});
	return tokenizerFrom(
		{
			specialTokens: () => keys.specialTokens(special()),
			spelling: byteLevelSpelling,
			ids: () => keys.ends(special()),
		},
		() => {
			const vocabulary = vocabularyFromList(keys.tokens());
			const { split } = buildComponents({ pre_tokenizer: words }, keys.where);
			return {
				vocabulary,
				addedTokens: keys.addedTokens(),
				...(split && { split }),
				model: bpe({
					vocabulary,
					spell: byteLevelSpell,
					merges: keys.list("merges") as string[],
					ignoreMerges,
					byteFallback: false,
					unknown: undefined,
					fuseUnknown: false,
					where: keys.where,
				}),
				...keys.affixes(special(), addBos),
			};
		},
	);
}

function spmTokenizer(keys: GgufKeys): Tokenizer {
	const special = () => keys.special({ bos: 1, eos: 2, unknown: 0 });
	const spacePrefix = keys.flag("add_space_prefix", true);
	return tokenizerFrom(
		{
			specialTokens: () => keys.specialTokens(special()),
			spelling: sentencePieceSpelling(spacePrefix ? 1 : 0),
			ids: () => keys.ends(special()),
		},
		() => {
			const vocabulary = vocabularyFromList(keys.tokens());
			const types = keys.types();
			const scores = keys.list("scores") as number[];
			if (scores.length !== vocabulary.size) {
				throw new CheckpointError(
					`${keys.where}: tokenizer.ggml.scores has ${scores.length} elements, expected ${vocabulary.size}, one per token`,
				);
			}
			return {
				vocabulary,
				addedTokens: keys.addedTokens(),
				normalize: (text) =>
					(spacePrefix ? "▁" : "") + text.replaceAll(" ", "▁"),
				model: spm({
					vocabulary,
					scores,
					isPiece: (id) =>
						types[id] === TokenType.normal ||
						types[id] === TokenType.userDefined,
					unknown: special().unknown,
				}),
				...keys.affixes(special(), true),
			};
		},
	);
}

function shown(value: unknown): string {
	if (value === undefined) return "missing";
	return typeof value === "string"
		? JSON.stringify(value.slice(0, 80))
		: String(value);
}
