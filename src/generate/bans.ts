import type { GenerateOptions, LogitsProcessor } from "./options.ts";

function forbid(scores: Float32Array, ids: readonly number[]): void {
	for (const id of ids) scores[id] = Number.NEGATIVE_INFINITY;
}

function allowOnly(scores: Float32Array, ids: readonly number[]): void {
	scores.fill(Number.NEGATIVE_INFINITY);
	for (const id of ids) scores[id] = 0;
}

/** The text cannot end before it has `minNewTokens` tokens. */
export function minNewTokens(
	minNewTokens: number,
	promptTokens: number,
	endTokenIds: readonly number[],
): LogitsProcessor {
	return (scores, ids) => {
		if (ids.length - promptTokens < minNewTokens) forbid(scores, endTokenIds);
	};
}

/** Only what `allowed` names may come next; its scores stay as they are. */
export function allowedTokens(
	allowed: NonNullable<GenerateOptions["allowedTokens"]>,
): LogitsProcessor {
	const keep = (scores: Float32Array, ids: Iterable<number>) => {
		const kept = Array.from(ids, (id) => [id, scores[id]!] as const);
		scores.fill(Number.NEGATIVE_INFINITY);
		for (const [id, score] of kept) scores[id] = score;
	};
	return (scores, ids) => {
		const named = allowed(ids);
		return named instanceof Promise
			? named.then((ids) => keep(scores, ids))
			: keep(scores, named);
	};
}

/** A prompt of one token is followed by this one. */
export function forcedBos(id: number): LogitsProcessor {
	return (scores, ids) => {
		if (ids.length === 1) allowOnly(scores, [id]);
	};
}

/** The last token before `maxTokens`, prompt included, is one of these. */
export function forcedEos(
	eosTokenIds: readonly number[],
	maxTokens: number,
): LogitsProcessor {
	return (scores, ids) => {
		if (ids.length === maxTokens - 1) allowOnly(scores, eosTokenIds);
	};
}

export function suppress(suppressed: readonly number[]): LogitsProcessor {
	return (scores) => forbid(scores, suppressed);
}

/** Forbids these as the first token after the prompt. */
export function beginSuppress(
	suppressed: readonly number[],
	promptTokens: number,
): LogitsProcessor {
	return (scores, ids) => {
		if (ids.length === promptTokens) forbid(scores, suppressed);
	};
}

const LARGEST_F32 = (2 - 2 ** -23) * 2 ** 127;

/** NaN → 0, ±∞ → the largest float of that sign. */
export const removeInvalid: LogitsProcessor = (scores) => {
	for (let i = 0; i < scores.length; i++) {
		const s = scores[i]!;
		if (Number.isNaN(s)) scores[i] = 0;
		else if (s === Number.POSITIVE_INFINITY) scores[i] = LARGEST_F32;
		else if (s === Number.NEGATIVE_INFINITY) scores[i] = -LARGEST_F32;
	}
};
