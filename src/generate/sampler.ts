import { EngineError } from "../errors.ts";
import type { LogitsProcessor } from "./options.ts";
import { createProcessors } from "./processors.ts";
import { drawSeed, type Random, seededRandom } from "./random.ts";
import type { ResolvedOptions } from "./resolve.ts";
import { candidates } from "./selection.ts";
import { softmax } from "./softmax.ts";

/** Chooses tokens, one after the other, for one text. */
export interface Sampler {
	/** What the random numbers started from; undefined when nothing is drawn. */
	readonly seed: number | undefined;
	/**
	 * The next token; a promise of it only where a processor returned one.
	 * @param logits f32[V] of the last position; left as they are.
	 * @param ids prompt and generated tokens so far.
	 * @throws EngineError for logits that are not finite (unless removeInvalidValues) and when every token is forbidden.
	 */
	next(logits: Float32Array, ids: readonly number[]): number | Promise<number>;
}

export function createSampler(options: ResolvedOptions): Sampler {
	const processors = createProcessors(options);
	const seed = options.doSample ? (options.seed ?? drawSeed()) : undefined;
	const choose = seed === undefined ? argmax : multinomial(seededRandom(seed));
	const processed = new Float32Array(
		processors.length > 0 ? options.vocabularySize : 0,
	);
	const chosen = (scores: Float32Array, ids: readonly number[]) => {
		const id = choose(scores);
		if (id < 0)
			throw new EngineError(
				`position ${ids.length}: no token can be chosen, expected processors and bans to leave at least one with a finite score`,
			);
		return id;
	};
	return {
		seed,
		next(logits, ids) {
			if (!options.removeInvalidValues) assertFinite(logits, ids.length);
			if (processors.length === 0) return chosen(logits, ids);
			processed.set(logits);
			const pending = processFrom(processors, 0, processed, ids);
			return pending
				? pending.then(() => chosen(processed, ids))
				: chosen(processed, ids);
		},
	};
}

/** Applies processors from `first` on, one after the other. */
function processFrom(
	processors: readonly LogitsProcessor[],
	first: number,
	scores: Float32Array,
	ids: readonly number[],
): Promise<void> | undefined {
	for (let i = first; i < processors.length; i++) {
		const pending = processors[i]!(scores, ids);
		if (pending instanceof Promise)
			return pending.then(() => processFrom(processors, i + 1, scores, ids));
	}
	return undefined;
}

function assertFinite(logits: Float32Array, position: number): void {
	let poison = 0; // x · 0 is 0 for finite x and NaN otherwise
	for (let i = 0; i < logits.length; i++) poison += logits[i]! * 0;
	if (poison === 0) return;
	const id = logits.findIndex((s) => !Number.isFinite(s));
	throw new EngineError(
		`position ${position}: the logit of token ${id} is ${logits[id]}, expected finite numbers; the weights may be damaged`,
	);
}

/** The first of the largest scores; -1 when all are -∞ or NaN. */
function argmax(scores: Float32Array): number {
	let best = -1;
	let max = Number.NEGATIVE_INFINITY;
	for (let i = 0; i < scores.length; i++) {
		if (scores[i]! > max) {
			max = scores[i]!;
			best = i;
		}
	}
	return best;
}

/**
 * Draws i with probability softmax(s)[i]: the first i at which Σ_{j≤i} e^(s_j − max) exceeds u · Σ e^(s − max);
 * -1 when all are -∞ or any is not a number.
 */
function multinomial(random: Random): (scores: Float32Array) => number {
	return (scores) => {
		const remaining = candidates(scores);
		const { weights, sum } = softmax(remaining.scores);
		if (!(sum > 0)) return -1;
		let left = random() * sum;
		let last = -1;
		for (let i = 0; i < weights.length && left >= 0; i++) {
			if (weights[i] === 0) continue;
			last = i;
			left -= weights[i]!;
		}
		return remaining.ids[last]!;
	};
}
