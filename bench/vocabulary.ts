/** A byte-level vocabulary of any size, made up: for what a tokenizer takes in time and memory. */

import { byteLevelSpell } from "../src/text/byte-level.ts";

const ASCII = String.fromCharCode(...Array.from({ length: 128 }, (_, i) => i));
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
/** Characters of a token at most: published vocabularies have six or seven on average. */
const LONGEST = 10;
/** Part of the tokens that begin with a space, as in published vocabularies. */
const SPACED = 0.7;

export interface MadeVocabulary {
	readonly tokens: readonly string[];
	/** "left right", most eager first: one for each token of several characters. */
	readonly merges: readonly string[];
}

/** `size` tokens, more than 128: ASCII, then pairs of tokens that came before. The same in every run. */
export function makeVocabulary(size: number): MadeVocabulary {
	// From "!" on, as the first vocabularies of this kind were sorted.
	const tokens = [...byteLevelSpell(ASCII)].sort();
	const merges: string[] = [];
	const known = new Set(tokens);
	const spaced = [byteLevelSpell(" ")];
	const inner = [...LETTERS];
	let state = 12345;
	const random = () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return state / 2 ** 32;
	};
	// The cube makes tokens mostly of early ones, which are short.
	const pick = (from: readonly string[]) =>
		from[Math.floor(random() ** 3 * from.length)]!;
	while (tokens.length < size) {
		const starts = random() < SPACED ? spaced : inner;
		const [left, right] = [pick(starts), pick(inner)];
		const token = left + right;
		if (token.length > LONGEST || known.has(token)) continue;
		known.add(token);
		tokens.push(token);
		starts.push(token);
		merges.push(`${left} ${right}`);
	}
	return { tokens, merges };
}
