import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { AddedToken } from "./added-tokens.ts";
import { bpe } from "./bpe.ts";
import { byteLevelSpell } from "./byte-level.ts";
import { buildComponents, type Components } from "./components.ts";
import { type Stages, tokenizerFrom } from "./pipeline.ts";
import { preTokenizerParts } from "./pre-tokenizer.ts";
import { spellingOf } from "./spelling.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
	checkId,
	type Vocabulary,
	vocabularyFromObject,
} from "./vocabulary.ts";

type Node = Readonly<Record<string, unknown>>;

/** The parsed files of a Hugging Face tokenizer. */
export interface TokenizerJson {
	/** tokenizer.json */
	readonly tokenizer: Node;
	/** tokenizer_config.json; empty where there is none. */
	readonly config?: Node;
}

const WHERE = "tokenizer.json";

/**
 * The tokenizer that tokenizer.json and tokenizer_config.json describe. Normalizers, pre-tokenizers and
 * post-processors are those of `@huggingface/tokenizers`; vocabulary, merges, added tokens and decoding are our own,
 * for speed and because it differs there from the reference implementation.
 * @throws CheckpointError where the files contradict themselves, UnsupportedError for components not supported here
 * (now, or on first use where only the vocabulary shows it).
 */
export function createTokenizer({
	tokenizer,
	config = {},
}: TokenizerJson): Tokenizer {
	const model = tokenizer.model as Node | undefined;
	if (typeof model !== "object" || model === null) {
		throw new CheckpointError(`${WHERE}: "model" is missing`);
	}
	if (
		(model.type !== undefined && model.type !== "BPE") ||
		model.merges === undefined
	) {
		throw new UnsupportedError(
			`${WHERE}: the model is of type ${JSON.stringify(model.type ?? null)}, expected "BPE"`,
		);
	}
	for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
		if (model[key]) {
			throw new UnsupportedError(
				`${WHERE}: model.${key} is ${JSON.stringify(model[key])}, expected none`,
			);
		}
	}
	const { words, byteLevel } = preTokenizerParts(tokenizer.pre_tokenizer);
	const components = buildComponents(
		{ ...tokenizer, pre_tokenizer: words },
		WHERE,
	);
	const specialTokens = namedSpecialTokens(config);

	return tokenizerFrom(
		{
			specialTokens: () => specialTokens,
			spelling: spellingOf(tokenizer.decoder, WHERE),
			ids(vocabulary) {
				const id = (name: string) => {
					const token = specialTokens[name];
					return token === undefined ? undefined : vocabulary.id(token);
				};
				const eos = id("eos_token");
				return { bos: id("bos_token"), eos, ends: [] };
			},
		},
		() =>
			stagesOf(
				tokenizer,
				model,
				components,
				byteLevel ? byteLevelSpell : undefined,
				config,
				specialTokens,
			),
	);
}

function stagesOf(
	tokenizer: Node,
	model: Node,
	components: Components,
	spell: ((word: string) => string) | undefined,
	config: Node,
	specialTokens: Readonly<Record<string, string>>,
): Stages {
	if (typeof model.vocab !== "object" || model.vocab === null) {
		throw new CheckpointError(`${WHERE}: "model.vocab" is missing`);
	}
	if (!Array.isArray(model.merges)) {
		throw new CheckpointError(`${WHERE}: "model.merges" is not a list`);
	}
	const vocabulary = vocabularyFromObject(model.vocab as Node, WHERE);
	const words = bpe({
		vocabulary,
		merges: model.merges,
		...(spell && { spell }),
		ignoreMerges: model.ignore_merges === true,
		byteFallback: model.byte_fallback === true,
		unknown: typeof model.unk_token === "string" ? model.unk_token : undefined,
		fuseUnknown: model.fuse_unk === true,
		where: WHERE,
	});
	const addedTokens = addedTokensOf(tokenizer, config, vocabulary);
	markSpecial(addedTokens, Object.values(specialTokens), vocabulary);
	for (const token of addedTokens) vocabulary.add(token.content, token.id);

	const { before, after } =
		explicitAffixes(config, specialTokens) ?? components;
	const idOf = (token: string) => {
		const id = vocabulary.id(token);
		if (id === undefined) {
			throw new CheckpointError(
				`${WHERE}: the post-processor adds ${JSON.stringify(token)}, which is not in the vocabulary`,
			);
		}
		return id;
	};

	return {
		vocabulary,
		addedTokens,
		...(components.normalize && { normalize: components.normalize }),
		...(components.split && { split: components.split }),
		model: words,
		prefix: before.map(idOf),
		suffix: after.map(idOf),
	};
}

/** Llama's and Gemma's tokenizer classes decide about bos and eos by these entries, whatever tokenizer.json says. */
function explicitAffixes(
	config: Node,
	specialTokens: Readonly<Record<string, string>>,
): Pick<Components, "before" | "after"> | undefined {
	const { tokenizer_class, add_bos_token, add_eos_token } = config;
	if (
		!/^(Code)?(Llama|Gemma)Tokenizer(Fast)?$/.test(String(tokenizer_class)) ||
		typeof add_bos_token !== "boolean"
	) {
		return undefined;
	}
	const { bos_token: bos, eos_token: eos } = specialTokens;
	return {
		before: add_bos_token && bos !== undefined ? [bos] : [],
		after: add_eos_token === true && eos !== undefined ? [eos] : [],
	};
}

/** The added tokens of tokenizer.json, and those that only tokenizer_config.json lists. */
function addedTokensOf(
	tokenizer: Node,
	config: Node,
	vocabulary: Vocabulary,
): AddedToken[] {
	const listed = Array.isArray(tokenizer.added_tokens)
		? Array.from(tokenizer.added_tokens as unknown[], fields)
		: [];
	const tokens = listed.map((node) => addedToken(node, node.id));
	const contents = new Set(tokens.map((token) => token.content));
	for (const [id, node] of Object.entries(
		fields(config.added_tokens_decoder),
	)) {
		const token = addedToken(fields(node), Number(id));
		const known = vocabulary.id(token.content);
		if (contents.has(token.content)) continue;
		if (known !== undefined && known !== token.id) continue;
		contents.add(token.content);
		tokens.push(token);
	}
	return tokens;
}

/** The entries of an object; nothing for anything else. */
function fields(value: unknown): Node {
	return typeof value === "object" && value !== null ? (value as Node) : {};
}

function addedToken(node: Node, id: unknown): AddedToken {
	const { content } = node;
	if (typeof content !== "string") {
		throw new CheckpointError(
			`${WHERE}: added token ${String(id)} has no content`,
		);
	}
	const special = node.special === true;
	return {
		id: checkId(id, content, WHERE),
		content,
		special,
		lstrip: node.lstrip === true,
		rstrip: node.rstrip === true,
		singleWord: node.single_word === true,
		normalized:
			typeof node.normalized === "boolean" ? node.normalized : !special,
	};
}

/** Tokens that the configuration names, such as the eos token, are control tokens even if listed as text. */
function markSpecial(
	tokens: AddedToken[],
	named: readonly string[],
	vocabulary: Vocabulary,
): void {
	for (const content of new Set(named)) {
		const at = tokens.findIndex((token) => token.content === content);
		const listed = tokens[at];
		if (listed) {
			tokens[at] = { ...listed, special: true };
			continue;
		}
		const id = vocabulary.id(content);
		if (id === undefined) continue;
		tokens.push({
			id,
			content,
			special: true,
			lstrip: false,
			rstrip: false,
			singleWord: false,
			normalized: false,
		});
	}
}

/** `bos_token` and its like from tokenizer_config.json, where they are strings or objects with a content. */
function namedSpecialTokens(config: Node): Record<string, string> {
	const named: Record<string, string> = {};
	const extra = config.extra_special_tokens;
	const entries = Object.entries({
		...(Array.isArray(extra) ? {} : fields(extra)),
		...Object.fromEntries(
			["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((name) => [
				`${name}_token`,
				config[`${name}_token`],
			]),
		),
	});
	for (const [name, value] of entries) {
		const content = typeof value === "string" ? value : fields(value).content;
		if (typeof content === "string") named[name] = content;
	}
	return named;
}
