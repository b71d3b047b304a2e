import { EngineError } from "../errors.ts";
import type { LogitsProcessor } from "./options.ts";
import { createProcessors, createWarpers } from "./processors.ts";
import { drawSeed, type Random, seededRandom } from "./random.ts";
import type { ResolvedOptions } from "./resolve.ts";
import { createGather } from "./selection.ts";
import { softmax } from "./softmax.ts";
import type { Warper } from "./warpers.ts";

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
	const warpers = createWarpers(options);
	const seed = options.doSample ? (options.seed ?? drawSeed()) : undefined;
	const isPlain =
		seed === undefined && processors.length === 0 && warpers.length === 0;
	const choose = createChoice(options, warpers, seed);
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
			const { best, areFinite } = inspect(logits);
			if (!areFinite && !options.removeInvalidValues)
				throw notFinite(logits, ids.length);
			if (isPlain) return best;
			if (processors.length === 0) return chosen(logits, ids);
			processed.set(logits);
			const pending = processFrom(processors, 0, processed, ids);
			return pending
				? pending.then(() => chosen(processed, ids))
				: chosen(processed, ids);
		},
	};
}

/** How a token is chosen from processed scores; -1 where none can be. */
function createChoice(
	{ vocabularySize, temperature }: ResolvedOptions,
	warpers: readonly Warper[],
	seed: number | undefined,
): (scores: Float32Array) => number {
	const isGreedy = seed === undefined;
	const choose = isGreedy ? argmax : multinomial(seededRandom(seed));
	if (isGreedy && warpers.length === 0) return choose;
	const gather = createGather(vocabularySize, isGreedy ? 1 : temperature);
	return (scores) => {
		let candidates = gather(scores);
		if (candidates.ids.length === 0) return -1;
		for (const warp of warpers) candidates = warp(candidates);
		return candidates.ids[choose(candidates.scores)] ?? -1;
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

function notFinite(logits: Float32Array, position: number): EngineError {
	const id = logits.findIndex((s) => !Number.isFinite(s));
	return new EngineError(
		`position ${position}: the logit of token ${id} is ${logits[id]}, expected finite numbers; the weights may be damaged`,
	);
}

/**
 * The index of the first of the largest scores, -1 when all are -∞ or NaN; and whether all are finite numbers. Then so
 * is their sum, since doubles go up to 2^896 times the largest f32. Otherwise it is not.
 */
function inspect(scores: Float32Array): { best: number; areFinite: boolean } {
	let best = -1;
	let max = Number.NEGATIVE_INFINITY;
	let sum = 0;
	const compare = (from: number, to: number) => {
		for (let i = from; i < to; i++) {
			if (scores[i]! > max) {
				max = scores[i]!;
				best = i;
			}
		}
	};
	// Four at a time, because each sum has to wait for the one before.
	let i = 0;
	for (; i + 4 <= scores.length; i += 4) {
		const a = scores[i]!;
		const b = scores[i + 1]!;
		const c = scores[i + 2]!;
		const d = scores[i + 3]!;
		sum += a + b + (c + d);
		if (a > max || b > max || c > max || d > max) compare(i, i + 4);
	}
	for (let rest = i; rest < scores.length; rest++) sum += scores[rest]!;
	compare(i, scores.length);
	return { best, areFinite: Number.isFinite(sum) };
}

const argmax = (scores: Float32Array): number => inspect(scores).best;

/**
 * Draws i with probability softmax(s)[i]: the first i at which Σ_{j≤i} e^(s_j − max) exceeds u · Σ e^(s − max);
 * -1 when all are -∞ or any is not a number.
 */
function multinomial(random: Random): (scores: Float32Array) => number {
	return (scores) => {
		const { weights, sum } = softmax(scores);
		if (!(sum > 0)) return -1;
		let left = random() * sum;
		let last = -1;
		for (let i = 0; i < weights.length && left >= 0; i++) {
			if (weights[i] === 0) continue;
			last = i;
			left -= weights[i]!;
		}
		return last;
	};
}
