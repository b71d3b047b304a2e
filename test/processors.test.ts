import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	allowedTokens,
	beginSuppress,
	forcedBos,
	forcedEos,
	minNewTokens,
	removeInvalid,
	suppress,
} from "../src/generate/bans.ts";
import type { LogitsProcessor } from "../src/generate/options.ts";
import {
	badWords,
	encoderNoRepeatNgram,
	encoderRepetitionPenalty,
	exponentialDecay,
	noRepeatNgram,
	repetitionPenalty,
	sequenceBias,
} from "../src/generate/penalties.ts";
import { createProcessors, createWarpers } from "../src/generate/processors.ts";
import { resolveOptions } from "../src/generate/resolve.ts";
import { createGather } from "../src/generate/selection.ts";
import {
	epsilonCutoff,
	etaCutoff,
	logNormalize,
	minP,
	topH,
	topK,
	topP,
	typical,
	type Warper,
} from "../src/generate/warpers.ts";

const OFF = Number.NEGATIVE_INFINITY;

function apply(
	processor: LogitsProcessor,
	scores: ArrayLike<number>,
	ids: readonly number[] = [],
): number[] {
	const copy = Float32Array.from(scores);
	processor(copy, ids);
	return [...copy];
}

/** Ids that are still possible after the processor. */
const kept = (
	processor: LogitsProcessor,
	scores: ArrayLike<number>,
	ids: readonly number[] = [],
) => apply(processor, scores, ids).flatMap((s, i) => (s === OFF ? [] : [i]));

/** Scores after warpers, -∞ for what they dropped. */
function warped(
	warpers: readonly Warper[],
	scores: ArrayLike<number>,
	temperature = 1,
): number[] {
	const gather = createGather(scores.length, temperature);
	let left = gather(Float32Array.from(scores));
	for (const warp of warpers) left = warp(left);
	const result = new Array<number>(scores.length).fill(OFF);
	for (const [i, id] of left.ids.entries()) result[id] = left.scores[i]!;
	return result;
}

/** Ids that are still possible after the warper. */
const left = (warper: Warper, scores: ArrayLike<number>) =>
	warped([warper], scores).flatMap((s, i) => (s === OFF ? [] : [i]));

const logs = (...p: number[]) => p.map(Math.log);

describe("penalties", () => {
	test("repetition penalty divides positive and multiplies negative scores, once per distinct id", () => {
		expect(
			apply(repetitionPenalty(2, 4), [4, -4, 4, 0], [0, 1, 0, 0, 3]),
		).toEqual([2, -8, 4, 0]);
	});

	test("repetition penalty does not remember the call before", () => {
		const penalty = repetitionPenalty(2, 3);
		apply(penalty, [4, 4, 4], [0, 1]);
		expect(apply(penalty, [4, 4, 4], [2])).toEqual([4, 4, 2]);
	});

	test("encoder repetition penalty rewards the ids of the prompt only", () => {
		expect(
			apply(encoderRepetitionPenalty(2, 4, 2), [4, -4, 4, 1], [0, 1, 2]),
		).toEqual([8, -2, 4, 1]);
	});

	test("no-repeat n-gram forbids what would complete a run seen before", () => {
		// 1 2 3 | 1 2 4 | 1 2 → 3 and 4 completed "1 2 ?" before.
		expect(
			kept(noRepeatNgram(3), new Float32Array(6), [1, 2, 3, 1, 2, 4, 1, 2]),
		).toEqual([0, 1, 2, 5]);
		expect(kept(noRepeatNgram(1), new Float32Array(4), [1, 3])).toEqual([0, 2]);
		expect(kept(noRepeatNgram(2), new Float32Array(3), [1, 1])).toEqual([0, 2]);
		expect(kept(noRepeatNgram(3), new Float32Array(3), [1])).toEqual([0, 1, 2]);
	});

	test("no-repeat n-gram equals its definition", () => {
		fc.assert(
			fc.property(
				fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 12 }),
				fc.integer({ min: 1, max: 4 }),
				(ids, n) => {
					const grams = new Set<string>();
					for (let i = 0; i + n <= ids.length; i++)
						grams.add(ids.slice(i, i + n).join());
					const expected = [0, 1, 2, 3].filter(
						(id) =>
							ids.length < n - 1 ||
							!grams.has(
								[...ids.slice(ids.length - n + 1, ids.length), id].join(),
							),
					);
					expect(kept(noRepeatNgram(n), new Float32Array(4), ids)).toEqual(
						expected,
					);
				},
			),
		);
	});

	test("encoder no-repeat n-gram looks at the prompt only", () => {
		// prompt 1 2, text 3 1: "1 2" is in the prompt, "3 1" is not.
		expect(
			kept(encoderNoRepeatNgram(2, 2), new Float32Array(4), [1, 2, 3, 1]),
		).toEqual([0, 1, 3]);
	});

	test("sequence bias adds to single ids always and to longer ones at their last id", () => {
		const bias = sequenceBias([
			[[0], 1.5],
			[[2, 3], -2],
			[[1, 2, 3], 10],
			[[7, 7, 7, 7], 99],
		]);
		expect(apply(bias, [0, 0, 0, 0], [5, 2])).toEqual([1.5, 0, 0, -2]);
		expect(apply(bias, [0, 0, 0, 0], [9, 1, 2])).toEqual([1.5, 0, 0, 8]);
		expect(apply(bias, [0, 0, 0, 0], [2, 1])).toEqual([1.5, 0, 0, 0]);
	});

	test("bad words are never completed; one that is just end-of-sequence is ignored", () => {
		const bad = badWords([[4], [1, 2], [3]], [4]);
		expect(kept(bad, new Float32Array(5), [0, 1])).toEqual([0, 1, 4]);
		expect(kept(bad, new Float32Array(5), [0, 0])).toEqual([0, 1, 2, 4]);
	});

	test("exponential decay starts after start generated tokens", () => {
		const decay = exponentialDecay(2, 1.5, 3, [0, 1]);
		expect(apply(decay, [-4, 2, 1], new Array(5).fill(0))).toEqual([-4, 2, 1]);
		// n − start = 2: growth 1.5² − 1 = 1.25
		expect(apply(decay, [-4, 2, 1], new Array(7).fill(0))).toEqual([1, 4.5, 1]);
	});
});

describe("bans", () => {
	test("minNewTokens holds back every end token", () => {
		const ban = minNewTokens(2, 3, [0, 2]);
		expect(kept(ban, [1, 1, 1, 1], [5, 5, 5])).toEqual([1, 3]);
		expect(kept(ban, [1, 1, 1, 1], [5, 5, 5, 5])).toEqual([1, 3]);
		expect(kept(ban, [1, 1, 1, 1], [5, 5, 5, 5, 5])).toEqual([0, 1, 2, 3]);
	});

	test("allowed tokens keep their scores", () => {
		expect(
			apply(
				allowedTokens((ids) => new Set([ids[0] ?? 0, 2])),
				[1, 2, 3],
				[0],
			),
		).toEqual([1, OFF, 3]);
	});

	test("forced tokens are the only ones at their position", () => {
		expect(apply(forcedBos(1), [5, 6, 7], [0])).toEqual([OFF, 0, OFF]);
		expect(apply(forcedBos(1), [5, 6, 7], [0, 0])).toEqual([5, 6, 7]);
		expect(apply(forcedEos([0, 2], 4), [5, 6, 7], [1, 1, 1])).toEqual([
			0,
			OFF,
			0,
		]);
		expect(apply(forcedEos([0, 2], 4), [5, 6, 7], [1, 1])).toEqual([5, 6, 7]);
	});

	test("suppress always, beginSuppress only right after the prompt", () => {
		expect(kept(suppress([0]), [1, 1], [3, 3])).toEqual([1]);
		expect(kept(beginSuppress([0], 2), [1, 1], [3, 3])).toEqual([1]);
		expect(kept(beginSuppress([0], 2), [1, 1], [3, 3, 1])).toEqual([0, 1]);
	});

	test("removeInvalid leaves only finite numbers", () => {
		const largest = 3.4028234663852886e38;
		expect(
			apply(removeInvalid, [Number.NaN, Number.POSITIVE_INFINITY, OFF, 1]),
		).toEqual([0, largest, -largest, 1]);
	});
});

describe("warpers, by hand", () => {
	test("temperature divides", () => {
		expect(warped([], [1, -2, OFF], 0.5)).toEqual([2, -4, OFF]);
		// What falls below all floats is dropped, like what was before.
		expect(warped([], [1, -1, OFF], 1e-39)).toEqual([Infinity, OFF, OFF]);
	});

	test("top-k keeps every tie at the threshold", () => {
		expect(left(topK(2), [1, 3, 2, 2, 2, 0])).toEqual([1, 2, 3, 4]);
		expect(left(topK(1), [1, 3, 3])).toEqual([1, 2]);
		expect(left(topK(9), [1, 3])).toEqual([0, 1]);
	});

	test("top-p keeps the fewest tokens that reach the mass", () => {
		const scores = logs(0.125, 0.5, 0.25, 0.125);
		expect(left(topP(0.5), scores)).toEqual([1]);
		expect(left(topP(0.51), scores)).toEqual([1, 2]);
		expect(left(topP(0.76), scores)).toEqual([0, 1, 2]); // tie: the lower id
		expect(left(topP(0.9), scores)).toEqual([0, 1, 2, 3]);
		expect(left(topP(0), scores)).toEqual([1]);
	});

	test("min-p compares with the most probable token", () => {
		expect(left(minP(0.3), logs(0.5, 0.2, 0.14, 0.16))).toEqual([0, 1, 3]);
		expect(left(minP(1), [2, 1, 2])).toEqual([0, 2]);
	});

	test("typical may drop the most probable token", () => {
		// H = 1.0549 nats; distances of −ln p: 0.362, 0.325, 1.937 and 2.630 (see the definition below for many more).
		expect(left(typical(0.2), logs(0.5, 0.25, 0.05, 0.025))).not.toContain(0);
	});

	test("epsilon and eta keep the most probable token whatever the cutoff", () => {
		expect(left(epsilonCutoff(0.2), logs(0.5, 0.3, 0.15, 0.05))).toEqual([
			0, 1,
		]);
		expect(left(epsilonCutoff(0.9), logs(0.5, 0.3, 0.2))).toEqual([0]);
		// H = ln 4: η = min(0.3, √0.3 / 4) = 0.137
		expect(left(etaCutoff(0.3), logs(0.25, 0.25, 0.25, 0.25))).toHaveLength(4);
	});

	test("log-normalization gives log-probabilities", () => {
		const normal = warped([logNormalize], [1, 2, 3, OFF]);
		expect(normal[3]).toBe(OFF);
		expect(normal.reduce((sum, s) => sum + Math.exp(s), 0)).toBeCloseTo(1, 6);
		expect(normal[2]! - normal[0]!).toBeCloseTo(2, 6);
	});
});

/** The definitions with full sorts and Math.exp, as a formula would be typed into a notebook. Each returns what is kept. */
const definitions: Record<
	string,
	{
		warp: (parameter: number) => Warper;
		keep: (p: number[], parameter: number) => (id: number) => boolean;
	}
> = {
	topP: {
		warp: topP,
		keep: (p, mass) => {
			const order = byDescending(p);
			return (id) => {
				const above = order.slice(0, order.indexOf(id));
				return above.length === 0 || total(above.map((i) => p[i]!)) < mass;
			};
		},
	},
	minP: {
		warp: minP,
		keep: (p, ratio) => (id) => p[id]! >= ratio * Math.max(...p),
	},
	topH: {
		warp: topH,
		keep: (p, share) => {
			const order = byDescending(p).slice(0, 100);
			const mass = total(order.map((i) => p[i]!));
			const terms = order.map((i) => xlogx(p[i]! / mass));
			const limit = share * total(terms);
			return (id) => {
				const rank = order.indexOf(id);
				return (
					rank === 0 || (rank > 0 && total(terms.slice(0, rank + 1)) <= limit)
				);
			};
		},
	},
	typical: {
		warp: typical,
		keep: (p, mass) => {
			const H = total(p.map(xlogx));
			const distance = p.map((x) => Math.abs(-Math.log(x) - H));
			const order = p
				.map((_, i) => i)
				.sort((a, b) => distance[a]! - distance[b]!);
			const below = order.filter(
				(_, rank) => total(order.slice(0, rank + 1).map((i) => p[i]!)) < mass,
			).length;
			const threshold =
				distance[order[Math.min(below, order.length - 1)]!]! + 1e-9;
			return (id) => distance[id]! <= threshold;
		},
	},
	epsilonCutoff: {
		warp: epsilonCutoff,
		keep: (p, epsilon) => (id) => p[id]! >= epsilon || p[id] === Math.max(...p),
	},
	etaCutoff: {
		warp: etaCutoff,
		keep: (p, epsilon) => {
			const H = total(p.map(xlogx));
			const eta = Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-H));
			return (id) => p[id]! >= eta || p[id] === Math.max(...p);
		},
	},
};

const total = (xs: readonly number[]) => xs.reduce((sum, x) => sum + x, 0);
const xlogx = (p: number) => (p === 0 ? 0 : -p * Math.log(p));
const byDescending = (p: readonly number[]) =>
	p.map((_, i) => i).sort((a, b) => p[b]! - p[a]! || a - b);

describe("warpers equal their definitions", () => {
	const scoresOf = fc.array(
		fc.oneof(
			fc.integer({ min: -3, max: 3 }), // many ties
			fc.integer({ min: -512, max: 512 }).map((n) => n / 64), // different scores have different probabilities
		),
		{ minLength: 1, maxLength: 130 },
	);
	for (const [name, { warp, keep }] of Object.entries(definitions)) {
		test(name, () => {
			fc.assert(
				fc.property(
					scoresOf,
					fc.double({ min: 0.001, max: 0.999, noNaN: true }),
					(scores, parameter) => {
						const exact = [...Float32Array.from(scores)];
						const max = Math.max(...exact);
						const weights = exact.map((s) => Math.exp(s - max));
						const p = weights.map((weight) => weight / total(weights));
						const keeps = keep(p, parameter);
						expect(left(warp(parameter), exact)).toEqual(
							exact.flatMap((_, id) => (keeps(id) ? [id] : [])),
						);
					},
				),
				{ numRuns: 300 },
			);
		});
	}

	test("topK", () => {
		fc.assert(
			fc.property(scoresOf, fc.integer({ min: 1, max: 140 }), (scores, k) => {
				const exact = [...Float32Array.from(scores)];
				const threshold =
					[...exact].sort((a, b) => b - a)[Math.min(k, exact.length) - 1] ?? 0;
				expect(left(topK(k), exact)).toEqual(
					exact.flatMap((s, id) => (s >= threshold ? [id] : [])),
				);
			}),
		);
	});

	test("what one dropped, the next neither counts nor brings back", () => {
		const warpers = Object.values(definitions);
		fc.assert(
			fc.property(
				scoresOf,
				fc.infiniteStream(fc.boolean()),
				(scores, coins) => {
					const dropped = scores.map(() => coins.next().value);
					const masked = scores.map((s, i) => (dropped[i] ? OFF : s));
					const alone = scores.filter((_, i) => !dropped[i]);
					const ids = scores.flatMap((_, i) => (dropped[i] ? [] : [i]));
					for (const { warp } of warpers)
						expect(left(warp(0.37), masked)).toEqual(
							left(warp(0.37), alone).map((i) => ids[i]),
						);
				},
			),
		);
	});
});

describe("order", () => {
	const limits = { vocabularySize: 6, promptTokens: 2, contextTokens: 20 };
	const run = (
		options: Parameters<typeof resolveOptions>[0],
		scores: number[],
		ids: number[],
	) => {
		const copy = Float32Array.from(scores);
		const resolved = resolveOptions(options, {}, limits);
		for (const process of createProcessors(resolved)) process(copy, ids);
		const { doSample, temperature } = resolved;
		return warped(createWarpers(resolved), copy, doSample ? temperature : 1);
	};

	test("nothing asked for is nothing done", () => {
		expect(createProcessors(resolveOptions({}, {}, limits))).toEqual([]);
		expect(createWarpers(resolveOptions({}, {}, limits))).toEqual([]);
	});

	test("greedy runs penalties and bans but no warper", () => {
		const options = {
			doSample: false,
			temperature: 0.1,
			topK: 1,
			topP: 0.1,
			minP: 0.5,
			repetitionPenalty: 2,
			suppressTokens: [5],
		};
		expect(run(options, [4, 3, 2, 1, 0, 9], [0, 1])).toEqual([
			2,
			1.5,
			2,
			1,
			0,
			OFF,
		]);
	});

	test("bias comes before the repetition penalty, own processors after it and before temperature", () => {
		const options = {
			sequenceBias: [[[0], 2]] as const,
			repetitionPenalty: 2,
			logitsProcessors: [
				(scores: Float32Array) => {
					scores[0]! += 1;
				},
			],
			temperature: 0.5,
			topK: 0,
		};
		// ((4 + 2) / 2 + 1) / 0.5
		expect(run(options, [4, 0, 0, 0, 0, 0], [0, 0])[0]).toBe(8);
	});

	test("temperature comes before top-p, top-p after top-k", () => {
		const scores = logs(0.4, 0.3, 0.2, 0.06, 0.03, 0.01);
		const possible = (options: object) =>
			run(options, scores, [0, 0]).filter((s) => s !== OFF).length;
		// Of the best two, p = 4/7 and 3/7: 0.55 is reached by the first alone, while over all six it takes two.
		expect(possible({ topK: 2, topP: 0.55 })).toBe(1);
		expect(possible({ topK: 0, topP: 0.55 })).toBe(2);
		// At T = 10 the six are nearly equal: 0.912, 0.887, 0.851, 0.755, 0.704 and 0.631 of 4.74.
		expect(possible({ topK: 0, topP: 0.55, temperature: 10 })).toBe(3);
	});

	test("a forced end token survives bans that come before it, not those after", () => {
		const ids = [0, 0, 0];
		expect(
			run(
				{ maxNewTokens: 2, forcedEosTokenId: 1, badWordsIds: [[1]] },
				[0, 0, 0, 0, 0, 0],
				ids,
			)[1],
		).toBe(0);
		expect(
			run(
				{ maxNewTokens: 2, forcedEosTokenId: 1, suppressTokens: [1] },
				[0, 0, 0, 0, 0, 0],
				ids,
			)[1],
		).toBe(OFF);
	});

	test("do_sample alone applies top-k 50", () => {
		const wide = { ...limits, vocabularySize: 60 };
		const scores = Float32Array.from({ length: 60 }, (_, i) => -i);
		const warpers = createWarpers(
			resolveOptions({}, { do_sample: true }, wide),
		);
		expect(warped(warpers, scores).filter((s) => s !== OFF)).toHaveLength(50);
	});
});
