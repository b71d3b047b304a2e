import type { LogitsProcessor } from "./options.ts";

/** s < 0 → s · π, else s / π, once for every distinct id in prompt and text. */
export function repetitionPenalty(
	penalty: number,
	vocabularySize: number,
): LogitsProcessor {
	const seen = new Uint8Array(vocabularySize);
	return (scores, ids) => {
		for (const id of ids) {
			if (seen[id]) continue;
			seen[id] = 1;
			const s = scores[id]!;
			scores[id] = s < 0 ? s * penalty : s / penalty;
		}
		for (const id of ids) seen[id] = 0;
	};
}

/** The repetition penalty 1/π over the prompt only: π > 1 rewards its tokens. */
export function encoderRepetitionPenalty(
	penalty: number,
	vocabularySize: number,
	promptTokens: number,
): LogitsProcessor {
	const apply = repetitionPenalty(1 / penalty, vocabularySize);
	return (scores, ids) => apply(scores, ids.slice(0, promptTokens));
}

/** Forbids every token that would complete a run of n tokens that occurs in `past(ids)`. n = 1 forbids each of its tokens. */
function noRepeat(
	n: number,
	past: (ids: readonly number[]) => readonly number[],
): LogitsProcessor {
	return (scores, ids) => {
		const tail = ids.length - (n - 1);
		if (tail < 0) return;
		const source = past(ids);
		for (let start = 0; start + n <= source.length; start++) {
			let matched = 0;
			while (matched < n - 1 && source[start + matched] === ids[tail + matched])
				matched++;
			if (matched === n - 1)
				scores[source[start + matched]!] = Number.NEGATIVE_INFINITY;
		}
	};
}

/** No run of n tokens occurs twice in prompt and text. */
export const noRepeatNgram = (n: number) => noRepeat(n, (ids) => ids);

/** No run of n tokens of the prompt occurs again. */
export const encoderNoRepeatNgram = (n: number, promptTokens: number) =>
	noRepeat(n, (ids) => ids.slice(0, promptTokens));

/** Adds each sequence's bias to the score of its last id when the ids before it end the text; equal sequences count once, the last one given. */
export function sequenceBias(
	biases: readonly (readonly [readonly number[], number])[],
): LogitsProcessor {
	const distinct = [
		...new Map(biases.map((entry) => [entry[0].join(), entry])).values(),
	];
	return (scores, ids) => {
		for (const [sequence, bias] of distinct) {
			const last = sequence.length - 1;
			const tail = ids.length - last;
			// A sequence longer than prompt and text is skipped even if all before its last id matches, as in transformers.
			if (last > 0 && tail < 1) continue;
			let matched = 0;
			while (matched < last && sequence[matched] === ids[tail + matched])
				matched++;
			if (matched === last) scores[sequence[last]!]! += bias;
		}
	};
}

/** Forbids to complete any of the sequences, except those that are one end-of-sequence token. */
export function badWords(
	sequences: readonly (readonly number[])[],
	eosTokenIds: readonly number[],
): LogitsProcessor {
	const isEos = (sequence: readonly number[]) =>
		sequence.length === 1 && eosTokenIds.includes(sequence[0]!);
	return sequenceBias(
		sequences
			.filter((sequence) => !isEos(sequence))
			.map((sequence) => [sequence, Number.NEGATIVE_INFINITY]),
	);
}

/** After n > start generated tokens: s[eos] += |s[eos]| · (factor^(n − start) − 1). */
export function exponentialDecay(
	start: number,
	factor: number,
	promptTokens: number,
	eosTokenIds: readonly number[],
): LogitsProcessor {
	return (scores, ids) => {
		const exponent = ids.length - promptTokens - start;
		if (exponent <= 0) return;
		const growth = power(factor, exponent) - 1;
		for (const id of eosTokenIds) scores[id]! += Math.abs(scores[id]!) * growth;
	};
}

/** base^exponent for an integer exponent ≥ 0 by squaring: the same bits in every engine, which `**` does not promise. */
function power(base: number, exponent: number): number {
	let result = 1;
	for (let n = exponent, square = base; n > 0; n = Math.floor(n / 2)) {
		if (n % 2 === 1) result *= square;
		square *= square;
	}
	return result;
}
