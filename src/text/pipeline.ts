import {
	type AddedToken,
	type AddedTokenSplitter,
	addedTokenSplitter,
} from "./added-tokens.ts";
import type { WordModel } from "./bpe.ts";
import { leadingFilter } from "./detokenizer.ts";
import type { Spelling } from "./spelling.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** The stages of a tokenizer: added tokens, normalization, splitting into words, the word model, and the way back. */
export interface Stages {
	readonly vocabulary: Vocabulary;
	readonly addedTokens: readonly AddedToken[];
	readonly normalize?: (text: string) => string;
	/** Splits a section of the text into words. `first` says that it begins the text. */
	readonly split?: (section: string, first: boolean) => readonly string[];
	readonly model: WordModel;
	/** Ids put before and after every text. */
	readonly prefix: readonly number[];
	readonly suffix: readonly number[];
}

/** What is known without building the stages. */
export interface TokenizerNames {
	readonly specialTokens: () => Readonly<Record<string, string>>;
	readonly spelling: Spelling;
	/** Ids of bos, eos and of everything else that ends a turn, found when the stages are there. */
	readonly ids: (vocabulary: Vocabulary) => {
		readonly bos: number | undefined;
		readonly eos: number | undefined;
		readonly ends: Iterable<number>;
	};
}

const nothing = new Uint8Array(0);

/** A tokenizer whose stages are built on first use. */
export function tokenizerFrom(
	{ specialTokens, spelling, ids: findIds }: TokenizerNames,
	build: () => Stages,
): Tokenizer {
	const stages = once(() => {
		const built = build();
		const { bos, eos, ends } = findIds(built.vocabulary);
		return {
			...built,
			added: new Map(built.addedTokens.map((token) => [token.id, token])),
			split: sectionSplitter(built),
			bos,
			eos,
			ends: [...new Set(eos === undefined ? ends : [eos, ...ends])],
			bytes: new Map<number, Uint8Array>(),
		};
	});

	const isSpecial = (id: number) => stages().added.get(id)?.special === true;

	const tokenBytes = (id: number, skipSpecialTokens = false): Uint8Array => {
		if (skipSpecialTokens && isSpecial(id)) return nothing;
		const { bytes, vocabulary, added } = stages();
		const known = bytes.get(id);
		if (known) return known;
		const token = vocabulary.tokens[id];
		if (token === undefined) return nothing;
		const fresh = spelling.bytes(token, added.has(id));
		bytes.set(id, fresh);
		return fresh;
	};

	return {
		get specialTokens() {
			return specialTokens();
		},
		get vocabularySize() {
			return stages().vocabulary.size;
		},
		get bosId() {
			return stages().bos;
		},
		get eosId() {
			return stages().eos;
		},
		get endIds() {
			return stages().ends;
		},
		leading: spelling.leading,
		tokenId: (token) => stages().vocabulary.id(token),
		token: (id) => stages().vocabulary.tokens[id],
		isSpecial,
		tokenBytes,
		encode(text, { addSpecialTokens = true, parseSpecialTokens = true } = {}) {
			const { split, model, prefix, suffix } = stages();
			const ids: number[] = addSpecialTokens ? [...prefix] : [];
			for (const word of split(wellFormed(text), parseSpecialTokens)) {
				if (typeof word === "number") ids.push(word);
				else model.encode(word, ids);
			}
			if (addSpecialTokens) ids.push(...suffix);
			return ids;
		},
		decode(ids, options = {}) {
			const filter = leadingFilter(spelling.leading);
			const chunks: Uint8Array[] = [];
			let length = 0;
			for (const id of ids) {
				const bytes = filter(tokenBytes(id, options.skipSpecialTokens));
				chunks.push(bytes);
				length += bytes.length;
			}
			const all = new Uint8Array(length);
			let at = 0;
			for (const bytes of chunks) {
				all.set(bytes, at);
				at += bytes.length;
			}
			const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(all);
			return options.cleanUpTokenizationSpaces ? cleanUp(text) : text;
		},
	};
}

/** Cuts a text into words and the ids of added tokens. */
function sectionSplitter({ addedTokens, normalize, split }: Stages) {
	const raw = addedTokens.filter((token) => !token.normalized || !normalize);
	const normalized = normalize
		? addedTokens.filter((token) => token.normalized)
		: [];
	const splitters = (allowed: (token: AddedToken) => boolean) => ({
		raw: addedTokenSplitter(raw.filter(allowed)),
		normalized: addedTokenSplitter(normalized.filter(allowed), (token) =>
			normalize ? normalize(token.content) : token.content,
		),
	});
	const all = once(() => splitters(() => true));
	const harmless = once(() => splitters((token) => !token.special));

	return function* (
		text: string,
		parseSpecialTokens: boolean,
	): Generator<string | number> {
		const found: { raw: AddedTokenSplitter; normalized: AddedTokenSplitter } =
			parseSpecialTokens ? all() : harmless();
		for (const [i, section] of found.raw(text).entries()) {
			if (typeof section === "number") {
				yield section;
				continue;
			}
			const plain = normalize ? normalize(section) : section;
			for (const [j, part] of found.normalized(plain).entries()) {
				if (typeof part === "number") yield part;
				else if (split) yield* split(part, i === 0 && j === 0);
				else yield part;
			}
		}
	};
}

function once<T extends object>(make: () => T): () => T {
	let made: T | undefined;
	return () => {
		made ??= make();
		return made;
	};
}

/** Unpaired surrogates have no UTF-8 form. */
function wellFormed(text: string): string {
	return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}

/** transformers' clean_up_tokenization, replacement by replacement. */
function cleanUp(text: string): string {
	return text
		.replaceAll(" .", ".")
		.replaceAll(" ?", "?")
		.replaceAll(" !", "!")
		.replaceAll(" ,", ",")
		.replaceAll(" ' ", "'")
		.replaceAll(" n't", "n't")
		.replaceAll(" 'm", "'m")
		.replaceAll(" 's", "'s")
		.replaceAll(" 've", "'ve")
		.replaceAll(" 're", "'re");
}
