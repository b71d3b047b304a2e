/*
 * Warpers shape the distribution that a token is drawn from. In their formulas s are the scores as they arrive,
 * p = softmax(s), and "drop" means s = -∞. What an earlier one dropped is no longer looked at.
 */
import { exp } from "./exp.ts";
import type { LogitsProcessor } from "./options.ts";
import { candidates, descending, kthLargest } from "./selection.ts";
import { entropy, information, softmax } from "./softmax.ts";

const DROPPED = Number.NEGATIVE_INFINITY;

/** A warper that sees the remaining scores only and names the indices to keep. */
function keep(
	choose: (scores: Float32Array) => readonly number[],
): LogitsProcessor {
	return (scores) => {
		const remaining = candidates(scores);
		scores.fill(DROPPED);
		for (const i of choose(remaining.scores))
			scores[remaining.ids[i]!] = remaining.scores[i]!;
	};
}

/** s / T */
export function temperature(value: number): LogitsProcessor {
	return (scores) => {
		for (let i = 0; i < scores.length; i++) scores[i]! /= value;
	};
}

/** Drops s < the k-th largest: ties at the threshold all survive. */
export function topK(k: number): LogitsProcessor {
	return (scores) => {
		if (k >= scores.length) return;
		const threshold = kthLargest(scores, k);
		for (let i = 0; i < scores.length; i++)
			if (scores[i]! < threshold) scores[i] = DROPPED;
	};
}

/** Keeps the most probable tokens while the mass strictly before each is < mass; the first always. Ties go to the lower id. */
export const topP = (mass: number) =>
	keep((scores) => {
		const { weights, sum } = softmax(scores);
		const next = descending(scores);
		const kept: number[] = [];
		let before = 0;
		for (let i = next(); i >= 0; i = next()) {
			if (kept.length > 0 && before >= mass * sum) break;
			kept.push(i);
			before += weights[i]!;
		}
		return kept;
	});

/** Drops p < ratio · max p. */
export const minP = (ratio: number) =>
	keep((scores) => {
		const { weights } = softmax(scores);
		return indices(weights, (weight) => weight >= ratio);
	});

/** How many of the most probable tokens top-H looks at. */
const TOP_H_TOKENS = 100;

/** Among the best 100, renormalized to q: keeps tokens in descending order while Σ −q ln q ≤ share · H(q); the first always. */
export const topH = (share: number) =>
	keep((scores) => {
		const next = descending(scores);
		const best: number[] = [];
		for (let i = next(); i >= 0; i = next()) {
			best.push(i);
			if (best.length === TOP_H_TOKENS) break;
		}
		const q = Float32Array.from(best, (i) => scores[i]!);
		const distribution = softmax(q);
		const nats = information(q, distribution);
		const terms = distribution.weights.map((weight, i) => weight * nats[i]!);
		const limit = share * terms.reduce((sum, term) => sum + term, 0);
		let kept = 0;
		for (let sum = 0; kept < terms.length; kept++) {
			sum += terms[kept]!;
			if (kept > 0 && sum > limit) break;
		}
		return best.slice(0, kept);
	});

/**
 * Orders tokens by their distance |−ln p − H|, counts those whose cumulative p is < mass,
 * and drops those farther than the next one after them. May drop the most probable token.
 */
export const typical = (mass: number) =>
	keep((scores) => {
		const distribution = softmax(scores);
		const { weights, sum } = distribution;
		const nats = information(scores, distribution);
		const H = entropy(distribution, nats);
		const nearness = nats.map((x) => -Math.abs(x - H));
		const next = descending(nearness);
		let threshold = 0;
		let before = 0;
		for (let i = next(); i >= 0; i = next()) {
			threshold = nearness[i]!;
			before += weights[i]!;
			if (before >= mass * sum) break;
		}
		return indices(nearness, (near) => near >= threshold);
	});

/** Drops p < ε, except the largest. */
export const epsilonCutoff = (epsilon: number) =>
	keep((scores) => {
		const { max, weights, sum } = softmax(scores);
		return indices(
			weights,
			(weight, i) => weight >= epsilon * sum || scores[i] === max,
		);
	});

/** Drops p < min(ε, √ε · e^−H), except the largest. */
export const etaCutoff = (epsilon: number) =>
	keep((scores) => {
		const distribution = softmax(scores);
		const { max, weights, sum } = distribution;
		const H = entropy(distribution, information(scores, distribution));
		const eta = Math.min(epsilon, Math.sqrt(epsilon) * exp(-H));
		return indices(
			weights,
			(weight, i) => weight >= eta * sum || scores[i] === max,
		);
	});

/** s − ln Σ e^s */
export const logNormalize: LogitsProcessor = (scores) => {
	const remaining = candidates(scores);
	const nats = information(remaining.scores, softmax(remaining.scores));
	for (const [i, id] of remaining.ids.entries()) scores[id] = -nats[i]!;
};

function indices(
	values: Float64Array,
	keeps: (value: number, i: number) => boolean,
): number[] {
	const kept: number[] = [];
	for (let i = 0; i < values.length; i++)
		if (keeps(values[i]!, i)) kept.push(i);
	return kept;
}
