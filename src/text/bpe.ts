import { CheckpointError } from "../errors.ts";
import { fallbackToken } from "./byte-level.ts";
import { type MergeRules, mergeSymbols, remembering } from "./merge.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Turns a word (what the pre-tokenizer left in one piece) into token ids. */
export interface WordModel {
	/** Appends the ids of `word` to `ids`. */
	encode(word: string, ids: number[]): void;
}

export interface BpeOptions {
	readonly vocabulary: Vocabulary;
	/** Pairs that merge, most eager first: `["a", "b"]`, or `"a b"` split at its first space after the first character. */
	readonly merges: Iterable<readonly [string, string] | string>;
	/** How a word is written in the vocabulary; as it stands, unless given. */
	readonly spell?: (word: string) => string;
	/** A word that is itself a token is not split and merged, even where merges would not lead to it. */
	readonly ignoreMerges: boolean;
	/** Characters outside the vocabulary become their UTF-8 bytes as `<0xXX>` tokens. */
	readonly byteFallback: boolean;
	/** Token for what remains unknown; without one it is dropped. */
	readonly unknown: string | undefined;
	/** A run of unknown characters is one unknown token. */
	readonly fuseUnknown: boolean;
	/** File, for error messages. */
	readonly where: string;
}

/** Longer words are rare enough that remembering them costs more than it saves. */
const CACHED_WORD_LENGTH = 256;
const CACHED_WORDS = 20_000;

/**
 * Converted tokenizers are seen with a merge or two that no vocabulary entry stands behind. They can never apply and
 * are left out, but more than this part of all merges means that two files were mixed up.
 */
const STRAY_MERGES = 0.01;

const utf8 = new TextEncoder();

/** Byte-pair encoding by an ordered list of merges, as the Hugging Face tokenizers library defines it. */
export function bpe(options: BpeOptions): WordModel {
	const { vocabulary, spell, ignoreMerges, byteFallback, fuseUnknown, where } =
		options;
	const rules = mergeRules(options.merges, vocabulary, where);
	const unknown =
		options.unknown === undefined ? undefined : vocabulary.id(options.unknown);
	const byteIds = byteFallback ? fallbackIds(vocabulary) : undefined;
	const cache = new Map<string, readonly number[]>();

	const symbolsOf = (word: string): Int32Array => {
		const symbols: number[] = [];
		for (const character of word) {
			const id = vocabulary.id(character);
			if (id !== undefined) {
				symbols.push(id);
				continue;
			}
			const bytes = byteIds && fallbackSymbols(character, byteIds);
			if (bytes) symbols.push(...bytes);
			else if (
				unknown !== undefined &&
				!(fuseUnknown && symbols.at(-1) === unknown)
			) {
				symbols.push(unknown);
			}
		}
		return Int32Array.from(symbols);
	};

	const idsOf = (word: string): readonly number[] => {
		if (ignoreMerges) {
			const id = vocabulary.id(word);
			if (id !== undefined) return [id];
		}
		const symbols = symbolsOf(word);
		const count = mergeSymbols(symbols, rules);
		return Array.from(symbols.subarray(0, count));
	};

	return {
		encode(word, ids) {
			let found = cache.get(word);
			if (found === undefined) {
				found = idsOf(spell ? spell(word) : word);
				if (word.length <= CACHED_WORD_LENGTH) {
					if (cache.size >= CACHED_WORDS) cache.clear();
					cache.set(word, found);
				}
			}
			for (const id of found) ids.push(id);
		},
	};
}

/** Ids of `<0x00>` … `<0xFF>`, undefined where the vocabulary lacks one. */
export function fallbackIds(
	vocabulary: Vocabulary,
): readonly (number | undefined)[] {
	return Array.from({ length: 256 }, (_, byte) =>
		vocabulary.id(fallbackToken(byte)),
	);
}

/** A character as byte-fallback ids, or undefined where one of its bytes has no token. */
export function fallbackSymbols(
	character: string,
	byteIds: readonly (number | undefined)[],
): number[] | undefined {
	const ids: number[] = [];
	for (const byte of utf8.encode(character)) {
		const id = byteIds[byte];
		if (id === undefined) return undefined;
		ids.push(id);
	}
	return ids;
}

/**
 * Merge rules by what they make. A rule is its place in the list, which is its rank too. Two symbols merge if their
 * concatenation is a token and some rule makes it from a left part of that length. Going by the result leaves nothing
 * to look up for the parts of half a million merges beforehand, and lists are written in the order of results, so
 * that the result is nearly always that of the rule before, or the next token.
 */
function mergeRules(
	merges: BpeOptions["merges"],
	vocabulary: Vocabulary,
	where: string,
): MergeRules {
	const { tokens, size } = vocabulary;
	const list = Array.isArray(merges) ? merges : Array.from(merges);
	const count = list.length;
	const merged = new Int32Array(count);
	const leftLength = new Int32Array(count);
	/** Rules by the token they make: the last one of each token, and for each rule the one before it, else -1. */
	const last = new Int32Array(size).fill(-1);
	const before = new Int32Array(count);

	let strays = 0;
	let recent = 0;
	for (let rule = 0; rule < count; rule++) {
		const [left, right] = splitMerge(list[rule], rule, where);
		const made = joins(tokens[recent], left, right)
			? recent
			: joins(tokens[recent + 1], left, right)
				? recent + 1
				: vocabulary.id(left + right);
		if (made === undefined || made >= size) {
			if (++strays > count * STRAY_MERGES) {
				throw new CheckpointError(
					`${where}: merge ${rule} makes ${JSON.stringify(left + right)}, which is not in the vocabulary, and neither are the results of ${strays - 1} merges before it; merges and vocabulary do not belong together`,
				);
			}
			continue;
		}
		recent = made;
		merged[rule] = made;
		leftLength[rule] = left.length;
		before[rule] = last[made] as number;
		last[made] = rule;
	}

	const find = (left: number, right: number): number => {
		const start = tokens[left] as string;
		const made = vocabulary.id(start + tokens[right]);
		// Of a pair listed twice the later rank counts, as in the reference implementation.
		let rule = made === undefined ? -1 : (last[made] ?? -1);
		while (rule >= 0 && leftLength[rule] !== start.length) {
			rule = before[rule] as number;
		}
		return rule;
	};
	return {
		find: remembering(find),
		rank: (rule) => rule,
		merged: (rule) => merged[rule] as number,
	};
}

function joins(
	token: string | undefined,
	left: string,
	right: string,
): boolean {
	return (
		token !== undefined &&
		token.length === left.length + right.length &&
		token.startsWith(left) &&
		token.endsWith(right)
	);
}

function splitMerge(
	merge: unknown,
	rule: number,
	where: string,
): readonly [string, string] {
	if (typeof merge === "string") {
		const space = merge.indexOf(" ", 1);
		if (space > 0 && space < merge.length - 1) {
			return [merge.slice(0, space), merge.slice(space + 1)];
		}
	} else if (
		Array.isArray(merge) &&
		merge.length === 2 &&
		typeof merge[0] === "string" &&
		typeof merge[1] === "string"
	) {
		return [merge[0], merge[1]];
	}
	throw new CheckpointError(
		`${where}: merge ${rule} is ${JSON.stringify(merge)}, expected two tokens`,
	);
}
