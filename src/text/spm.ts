import { fallbackIds, fallbackSymbols, type WordModel } from "./bpe.ts";
import { type MergeRules, mergeSymbols } from "./merge.ts";
import type { Vocabulary } from "./vocabulary.ts";

export interface SpmOptions {
	readonly vocabulary: Vocabulary;
	/** f32[vocabulary.size]: of two pieces that could be formed, the one of higher score is formed first. */
	readonly scores: ArrayLike<number>;
	/** Whether ordinary text may become this token: not control, unknown, unused or byte tokens. */
	readonly isPiece: (id: number) => boolean;
	/** Token for a character that has neither a piece nor byte tokens; without one it is dropped. */
	readonly unknown: number | undefined;
}

/** Pairs seen are remembered, up to this many: common text repeats a few thousand of them. */
const REMEMBERED_PAIRS = 2 ** 17;

/**
 * SentencePiece's BPE without a merge table: neighbouring symbols merge if their concatenation is a piece, best score
 * first, leftmost on ties. What is left without being a piece becomes byte tokens.
 */
export function spm(options: SpmOptions): WordModel {
	const { vocabulary, isPiece, unknown } = options;
	const { size, tokens } = vocabulary;
	const byteIds = fallbackIds(vocabulary);
	const rules = scoreRules(options);

	return {
		encode(word, ids) {
			// A character that is no piece may still begin one, so it gets a symbol of its own: size + code point.
			const symbols = Int32Array.from(word, (character) => {
				const id = vocabulary.id(character);
				return id !== undefined && isPiece(id)
					? id
					: size + (character.codePointAt(0) as number);
			});
			const count = mergeSymbols(symbols, rules);
			for (let i = 0; i < count; i++) {
				const symbol = symbols[i] as number;
				if (symbol < size) {
					ids.push(symbol);
					continue;
				}
				const character = String.fromCodePoint(symbol - size);
				const bytes = fallbackSymbols(character, byteIds);
				if (bytes) ids.push(...bytes);
				else if (unknown !== undefined) ids.push(unknown);
			}
		},
	};

	function scoreRules({ scores }: SpmOptions): MergeRules {
		// Equal scores must have equal ranks: position then decides, not the id.
		const distinct = Array.from(new Set(Array.from(scores))).sort(
			(a, b) => b - a,
		);
		const rankOfScore = new Map(distinct.map((score, rank) => [score, rank]));
		const ranks = Int32Array.from(
			scores,
			(score) => rankOfScore.get(score) as number,
		);
		const spelling = (symbol: number) =>
			symbol < size
				? (tokens[symbol] as string)
				: String.fromCodePoint(symbol - size);
		const remembered = new Map<number, number>();
		return {
			find(left, right) {
				// Symbols are below 2²⁴ + 2²¹, so the key stays below 2⁵⁰.
				const key = left * 2 ** 25 + right;
				let rule = remembered.get(key);
				if (rule === undefined) {
					const id = vocabulary.id(spelling(left) + spelling(right));
					rule = id !== undefined && isPiece(id) ? id : -1;
					if (remembered.size >= REMEMBERED_PAIRS) remembered.clear();
					remembered.set(key, rule);
				}
				return rule;
			},
			rank: (rule) => ranks[rule] as number,
			merged: (rule) => rule,
		};
	}
}
