/*
 * Warpers shape the distribution that a token is drawn from. In their formulas s are the scores as they arrive,
 * p = softmax(s), and "drop" means s = -∞. What an earlier one dropped is never looked at again.
 */
import { exp, ln } from "./exp.ts";
import type { LogitsProcessor } from "./options.ts";
import { descending, kthLargest, survivors } from "./selection.ts";

const DROPPED = Number.NEGATIVE_INFINITY;

function maximum(scores: Float32Array): number {
	let max = DROPPED;
	for (let i = 0; i < scores.length; i++)
		if (scores[i]! > max) max = scores[i]!;
	return max;
}

interface Distribution {
	readonly max: number;
	/** ln Σ e^(s − max), so that ln p = s − max − logSum. */
	readonly logSum: number;
	/** f64[V] e^(s − max), 0 where dropped. */
	readonly weights: Float64Array;
	/** Σ weights. */
	readonly sum: number;
}

function distribution(scores: Float32Array): Distribution {
	const max = maximum(scores);
	const weights = new Float64Array(scores.length);
	let sum = 0;
	for (let i = 0; i < scores.length; i++) {
		if (scores[i] === DROPPED) continue;
		const weight = exp(scores[i]! - max);
		weights[i] = weight;
		sum += weight;
	}
	return { max, logSum: ln(sum), weights, sum };
}

/** −ln p of token i, in nats. */
function surprise(scores: Float32Array, d: Distribution, i: number): number {
	return d.logSum + d.max - scores[i]!;
}

/** −Σ p · ln p, in nats. */
function entropy(scores: Float32Array, d: Distribution): number {
	let sum = 0;
	for (let i = 0; i < scores.length; i++)
		if (d.weights[i]! > 0) sum += d.weights[i]! * surprise(scores, d, i);
	return sum / d.sum;
}

/** Drops all but these ids. */
function keepOnly(scores: Float32Array, ids: readonly number[]): void {
	const kept = ids.map((id) => scores[id]!);
	scores.fill(DROPPED);
	for (const [i, id] of ids.entries()) scores[id] = kept[i]!;
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
export function topP(mass: number): LogitsProcessor {
	return (scores) => {
		const { weights, sum } = distribution(scores);
		const next = descending(survivors(scores), scores);
		const taken: number[] = [];
		let before = 0;
		for (let id = next(); id >= 0; id = next()) {
			if (taken.length > 0 && before >= mass * sum) break;
			taken.push(id);
			before += weights[id]!;
		}
		keepOnly(scores, taken);
	};
}

/** Drops p < ratio · max p. */
export function minP(ratio: number): LogitsProcessor {
	return (scores) => {
		const max = maximum(scores);
		for (let i = 0; i < scores.length; i++)
			if (exp(scores[i]! - max) < ratio) scores[i] = DROPPED;
	};
}

/** How many of the most probable tokens top-H looks at. */
const TOP_H_TOKENS = 100;

/** Among the best 100, renormalized to q: keeps tokens in descending order while Σ −q ln q ≤ share · H(q); the first always. */
export function topH(share: number): LogitsProcessor {
	return (scores) => {
		const next = descending(survivors(scores), scores);
		const best: number[] = [];
		for (let id = next(); id >= 0; id = next()) {
			best.push(id);
			if (best.length === TOP_H_TOKENS) break;
		}
		const q = Float32Array.from(best, (id) => scores[id]!);
		const d = distribution(q);
		const terms = d.weights.map((weight, i) => weight * surprise(q, d, i));
		const limit = share * terms.reduce((sum, term) => sum + term, 0);
		let kept = 0;
		for (let sum = 0; kept < terms.length; kept++) {
			sum += terms[kept]!;
			if (kept > 0 && sum > limit) break;
		}
		keepOnly(scores, best.slice(0, kept));
	};
}

/**
 * Orders tokens by their distance |−ln p − H|, counts those whose cumulative p is < mass,
 * and drops those farther than the next one after them. May drop the most probable token.
 */
export function typical(mass: number): LogitsProcessor {
	return (scores) => {
		const d = distribution(scores);
		const H = entropy(scores, d);
		const nearness = Float64Array.from(scores, (s) =>
			s === DROPPED ? DROPPED : -Math.abs(d.logSum + d.max - s - H),
		);
		const next = descending(survivors(scores), nearness);
		let threshold = 0;
		let before = 0;
		for (let id = next(); id >= 0; id = next()) {
			threshold = nearness[id]!;
			before += d.weights[id]!;
			if (before >= mass * d.sum) break;
		}
		for (let i = 0; i < scores.length; i++)
			if (nearness[i]! < threshold) scores[i] = DROPPED;
	};
}

/** Drops p < cutoff(H), except the largest. */
function dropBelow(
	cutoff: (scores: Float32Array, d: Distribution) => number,
): LogitsProcessor {
	return (scores) => {
		const d = distribution(scores);
		const least = cutoff(scores, d) * d.sum;
		for (let i = 0; i < scores.length; i++)
			if (d.weights[i]! < least && scores[i]! < d.max) scores[i] = DROPPED;
	};
}

/** Drops p < ε, except the largest. */
export const epsilonCutoff = (epsilon: number) => dropBelow(() => epsilon);

/** Drops p < min(ε, √ε · e^−H), except the largest. */
export const etaCutoff = (epsilon: number) =>
	dropBelow((scores, d) =>
		Math.min(epsilon, Math.sqrt(epsilon) * exp(-entropy(scores, d))),
	);

/** s − ln Σ e^s */
export const logNormalize: LogitsProcessor = (scores) => {
	const { max, logSum } = distribution(scores);
	for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! - max - logSum;
};
