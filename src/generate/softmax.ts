import { exp, ln } from "./exp.ts";

/** softmax(s) before the division, and what it takes to finish it. */
export interface Softmax {
	/** The largest score; -∞ of none. */
	readonly max: number;
	/** f64[n] e^(s − max). */
	readonly weights: Float64Array;
	/** Σ weights; p = weights / sum. */
	readonly sum: number;
}

/** Summed in index order, so that equal scores give equal bits. */
export function softmax(scores: Float32Array): Softmax {
	let max = Number.NEGATIVE_INFINITY;
	for (let i = 0; i < scores.length; i++)
		if (scores[i]! > max) max = scores[i]!;
	const weights = new Float64Array(scores.length);
	let sum = 0;
	for (let i = 0; i < scores.length; i++) {
		const weight = exp(scores[i]! - max);
		weights[i] = weight;
		sum += weight;
	}
	return { max, weights, sum };
}

/** f64[n] −ln p, in nats. */
export function information(
	scores: Float32Array,
	{ max, sum }: Softmax,
): Float64Array {
	const logSum = ln(sum);
	return Float64Array.from(scores, (s) => max - s + logSum);
}

/** −Σ p · ln p, in nats. */
export function entropy(
	{ weights, sum }: Softmax,
	information: Float64Array,
): number {
	let total = 0;
	for (let i = 0; i < weights.length; i++)
		if (weights[i]! > 0) total += weights[i]! * information[i]!;
	return total / sum;
}
