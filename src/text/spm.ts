import { fallbackIds, fallbackSymbols, type WordModel } from "./bpe.ts";
import { type MergeRules, mergeSymbols, remembering } from "./merge.ts";
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
		const ranks = ranksOf(scores);
		const spelling = (symbol: number) =>
			symbol < size
				? (tokens[symbol] as string)
				: String.fromCodePoint(symbol - size);
		return {
			find: remembering((left, right) => {
				const id = vocabulary.id(spelling(left) + spelling(right));
				return id !== undefined && isPiece(id) ? id : -1;
			}),
			rank: (rule) => ranks[rule] as number,
			merged: (rule) => rule,
		};
	}
}

/** 0 for the highest score. Equal scores have equal ranks, so that the position in the text decides, not the id. */
function ranksOf(scores: ArrayLike<number>): Int32Array {
	const sorted = Float64Array.from(scores).sort();
	return Int32Array.from(scores, (score) => {
		let low = 0;
		let high = sorted.length;
		// The number of scores that are not higher.
		while (low < high) {
			const middle = (low + high) >>> 1;
			if ((sorted[middle] as number) <= score) low = middle + 1;
			else high = middle;
		}
		return sorted.length - low;
	});
}
