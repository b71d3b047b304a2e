/*
 * Warpers shape the distribution that a token is drawn from. In their formulas s are the scores as they arrive,
 * p = softmax(s). What an earlier one dropped is no longer there.
 */
import { exp } from "./exp.ts";
import { type Candidates, descending, largest, pick } from "./selection.ts";
import { entropy, information, softmax } from "./softmax.ts";

/** Takes candidates, at least one, and returns those that are left, with their scores. What it is given stays as it is. */
export type Warper = (candidates: Candidates) => Candidates;

/** A warper that names the indices to keep, in any order. */
const keep =
	(choose: (scores: Float32Array) => readonly number[]): Warper =>
	(candidates) =>
		pick(candidates, choose(candidates.scores));

/** Drops s < the k-th largest: ties at the threshold all survive. */
export const topK =
	(k: number): Warper =>
	(candidates) =>
		k >= candidates.ids.length
			? candidates
			: pick(candidates, largest(candidates.scores, k));

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
export const logNormalize: Warper = ({ ids, scores }) => {
	const nats = information(scores, softmax(scores));
	return { ids, scores: Float32Array.from(nats, (x) => -x) };
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
