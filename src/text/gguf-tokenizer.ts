import { Tokenizer as Components } from "@huggingface/tokenizers";
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { AddedToken } from "./added-tokens.ts";
import { bpe } from "./bpe.ts";
import { byteLevelSpell } from "./byte-level.ts";
import type { ChatTemplates } from "./chat-template.ts";
import { type GgufPreTokenizer, ggufPreTokenizers } from "./gguf-pre.ts";
import { type Stages, tokenizerFrom } from "./pipeline.ts";
import { byteLevelSpelling, sentencePieceSpelling } from "./spelling.ts";
import { spm } from "./spm.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { type Vocabulary, vocabularyFromList } from "./vocabulary.ts";

/** Keys and values of a GGUF file's metadata. Arrays may be anything with a length and indices, or anything iterable. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/** tokenizer.ggml.token_type */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const NORMAL = 1;

/**
 * Tokens that end a turn, by their text. GGUF names one eos token only, while Gemma, for one, must stop at both
 * `<eos>` and `<end_of_turn>`.
 */
const END_TOKENS = [
	"<|im_end|>",
	"<|eot_id|>",
	"<|eom_id|>",
	"<|end|>",
	"<end_of_turn>",
	"<|endoftext|>",
	"<|end_of_text|>",
	"</s>",
	"<eos>",
];

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
	const read = reader(metadata, where);
	const model = metadata.get("tokenizer.ggml.model");
	if (model === "llama") return spmTokenizer(read);
	if (model !== "gpt2") {
		throw new UnsupportedError(
			`${where}: tokenizer.ggml.model is ${JSON.stringify(model ?? null)}, expected "gpt2" or "llama"`,
		);
	}
	const pre = metadata.get("tokenizer.ggml.pre");
	const preTokenizer = ggufPreTokenizers.get(String(pre));
	if (preTokenizer === undefined) {
		throw new UnsupportedError(
			`${where}: tokenizer.ggml.pre is ${JSON.stringify(pre ?? null)}, expected one of ${[...ggufPreTokenizers.keys()].join(", ")}`,
		);
	}
	return bpeTokenizer(read, preTokenizer);
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
	read: Reader,
	{ words, ignoreMerges, addBos }: GgufPreTokenizer,
): Tokenizer {
	const special = () => read.special({});
	return tokenizerFrom(
		{
			specialTokens: () => read.specialTokens(special()),
			spelling: byteLevelSpelling,
			ids: (vocabulary) => read.ends(special(), vocabulary),
		},
		() => {
			const vocabulary = read.vocabulary();
			const { pre_tokenizer } = new Components(
				{
					normalizer: null,
					pre_tokenizer: words,
					post_processor: null,
					decoder: null,
					added_tokens: [],
					model: { type: "BPE", vocab: {}, merges: [] },
				},
				{},
			);
			return {
				vocabulary,
				addedTokens: read.addedTokens(),
				split: (section) => pre_tokenizer?.pre_tokenize(section) ?? [section],
				model: bpe({
					vocabulary,
					spell: byteLevelSpell,
					merges: read.list("merges") as string[],
					ignoreMerges,
					byteFallback: false,
					unknown: undefined,
					fuseUnknown: false,
					where: read.where,
				}),
				...read.affixes(special(), addBos),
			};
		},
	);
}

function spmTokenizer(read: Reader): Tokenizer {
	const special = () => read.special({ bos: 1, eos: 2, unknown: 0 });
	const spacePrefix = read.flag("add_space_prefix", true);
	return tokenizerFrom(
		{
			specialTokens: () => read.specialTokens(special()),
			spelling: sentencePieceSpelling(spacePrefix ? 1 : 0),
			ids: (vocabulary) => read.ends(special(), vocabulary),
		},
		() => {
			const vocabulary = read.vocabulary();
			const types = read.types();
			const scores = read.list("scores") as number[];
			if (scores.length !== vocabulary.size) {
				throw new CheckpointError(
					`${read.where}: tokenizer.ggml.scores has ${scores.length} elements, expected ${vocabulary.size}, one per token`,
				);
			}
			return {
				vocabulary,
				addedTokens: read.addedTokens(),
				normalize: (text) =>
					(spacePrefix ? "▁" : "") + text.replaceAll(" ", "▁"),
				model: spm({
					vocabulary,
					scores,
					isPiece: (id) => types[id] === NORMAL || types[id] === USER_DEFINED,
					unknown: special().unknown,
				}),
				...read.affixes(special(), true),
			};
		},
	);
}

interface SpecialIds {
	readonly bos: number | undefined;
	readonly eos: number | undefined;
	readonly unknown: number | undefined;
}

type Reader = ReturnType<typeof reader>;

/** Typed access to the `tokenizer.ggml.*` keys. */
function reader(metadata: GgufMetadata, where: string) {
	const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
	const lists = new Map<string, readonly unknown[]>();

	const list = (key: string): readonly unknown[] => {
		let values = lists.get(key);
		if (values === undefined) {
			const value = get(key);
			if (typeof value !== "object" || value === null) {
				throw new CheckpointError(
					`${where}: tokenizer.ggml.${key} is ${value === undefined ? "missing" : typeof value}, expected an array`,
				);
			}
			values = Array.isArray(value)
				? value
				: Array.from(value as Iterable<unknown> | ArrayLike<unknown>);
			lists.set(key, values);
		}
		return values;
	};

	const tokens = (): readonly string[] => {
		const values = list("tokens");
		const wrong = values.findIndex((token) => typeof token !== "string");
		if (wrong >= 0 || values.length === 0) {
			throw new CheckpointError(
				`${where}: tokenizer.ggml.tokens ${values.length === 0 ? "is empty" : `has a ${typeof values[wrong]} at ${wrong}`}, expected strings`,
			);
		}
		return values as string[];
	};

	/** An id outside the vocabulary, such as the 2³²−1 of old converters, means that there is no such token. */
	const id = (key: string): number | undefined => {
		const value = get(`${key}_token_id`);
		if (typeof value !== "number" && typeof value !== "bigint") {
			return undefined;
		}
		const number = Number(value);
		return number >= 0 && number < list("tokens").length ? number : undefined;
	};

	const types = (): readonly number[] => {
		const count = tokens().length;
		// Very old files have no types; all their tokens are normal.
		if (get("token_type") === undefined) {
			return new Array<number>(count).fill(NORMAL);
		}
		const values = list("token_type") as number[];
		if (values.length !== count) {
			throw new CheckpointError(
				`${where}: tokenizer.ggml.token_type has ${values.length} elements, expected ${count}, one per token`,
			);
		}
		return values;
	};

	const flag = (key: string, fallback: boolean): boolean => {
		const value = get(key);
		return typeof value === "boolean" ? value : fallback;
	};

	return {
		where,
		list,
		types,
		flag,
		vocabulary: (): Vocabulary => vocabularyFromList(tokens()),
		special: (fallback: Partial<SpecialIds>): SpecialIds => ({
			bos: id("bos") ?? fallback.bos,
			eos: id("eos") ?? fallback.eos,
			unknown: id("unknown") ?? fallback.unknown,
		}),
		specialTokens({ bos, eos, unknown }: SpecialIds): Record<string, string> {
			const ids = {
				bos_token: bos,
				eos_token: eos,
				unk_token: unknown,
				pad_token: id("padding"),
			};
			const all = tokens();
			return Object.fromEntries(
				Object.entries(ids).flatMap(([name, id]) => {
					const token = id === undefined ? undefined : all[id];
					return token === undefined ? [] : [[name, token]];
				}),
			);
		},
		addedTokens(): AddedToken[] {
			const typeOf = types();
			return tokens().flatMap((content, id) => {
				const type = Number(typeOf[id]);
				return type === CONTROL || type === USER_DEFINED || type === UNKNOWN
					? [added(id, content, type !== USER_DEFINED)]
					: [];
			});
		},
		ends({ bos, eos }: SpecialIds, vocabulary: Vocabulary) {
			const typeOf = types();
			const named = END_TOKENS.flatMap((token) => {
				const id = vocabulary.id(token);
				const type = id === undefined ? NORMAL : Number(typeOf[id]);
				return id !== undefined && type !== NORMAL ? [id] : [];
			});
			const given = [id("eot"), id("eom")].filter((id) => id !== undefined);
			return { bos, eos, ends: [...given, ...named] };
		},
		affixes(
			{ bos, eos }: SpecialIds,
			addBos: boolean,
		): Pick<Stages, "prefix" | "suffix"> {
			const begin = flag("add_bos_token", addBos) ? bos : undefined;
			const end = flag("add_eos_token", false) ? eos : undefined;
			return {
				prefix: begin === undefined ? [] : [begin],
				suffix: end === undefined ? [] : [end],
			};
		},
	};
}

function added(id: number, content: string, special: boolean): AddedToken {
	return {
		id,
		content,
		special,
		lstrip: false,
		rstrip: false,
		singleWord: false,
		normalized: false,
	};
}
