import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EngineError } from "../src/errors.ts";
import { exp, ln } from "../src/generate/exp.ts";
import type { GenerateOptions } from "../src/generate/options.ts";
import { drawSeed, seededRandom, xoshiro128 } from "../src/generate/random.ts";
import { resolveOptions } from "../src/generate/resolve.ts";
import { createSampler } from "../src/generate/sampler.ts";
import { createStopping } from "../src/generate/stopping.ts";

const create = (options: GenerateOptions, vocabularySize: number) =>
	createSampler(
		resolveOptions(
			options,
			{},
			{
				vocabularySize,
				promptTokens: 1,
				contextTokens: 1000,
			},
		),
	);

/** A sampler none of whose processors returns a promise. */
function sampler(options: GenerateOptions, vocabularySize: number) {
	const { seed, next } = create(options, vocabularySize);
	return {
		seed,
		next: (logits: Float32Array, ids: readonly number[]) =>
			next(logits, ids) as number,
	};
}

describe("exp and ln", () => {
	test("agree with Math to the last bits", () => {
		fc.assert(
			fc.property(fc.double({ min: -700, max: 0, noNaN: true }), (x) => {
				expect(Math.abs(exp(x) / Math.exp(x) - 1)).toBeLessThan(5e-16);
			}),
		);
		fc.assert(
			fc.property(fc.double({ min: 1, max: 1e6, noNaN: true }), (x) => {
				expect(Math.abs(ln(x) - Math.log(x))).toBeLessThan(4e-15);
			}),
		);
	});

	test("hold at their ends", () => {
		expect(exp(0)).toBe(1);
		expect(exp(Number.NEGATIVE_INFINITY)).toBe(0);
		expect(exp(-708)).toBeGreaterThan(0);
		expect(exp(-709)).toBe(0);
		expect(exp(Number.NaN)).toBeNaN();
		expect(ln(1)).toBe(0);
	});
});

describe("random numbers", () => {
	test("xoshiro128** continues 1, 2, 3, 4 as its authors' program does", () => {
		const next = xoshiro128([1, 2, 3, 4]);
		expect(Array.from({ length: 10 }, next)).toEqual([
			11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034,
			3734860849, 3729100597, 4258142804,
		]);
	});

	test("are uniform in [0, 1) and depend on all 53 bits of the seed", () => {
		const random = seededRandom(7);
		const numbers = Array.from({ length: 10_000 }, random);
		expect(numbers.every((x) => x >= 0 && x < 1)).toBe(true);
		const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
		expect(Math.abs(mean - 0.5)).toBeLessThan(0.015); // five standard errors
		const first = [0, 1, 2 ** 32, 2 ** 53 - 1].map((seed) =>
			seededRandom(seed)(),
		);
		expect(new Set(first).size).toBe(4);
	});

	test("a drawn seed is a valid seed", () => {
		const seed = drawSeed();
		expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32).toBe(true);
	});
});

describe("greedy", () => {
	test("takes the largest, the lowest id among equals, and leaves the logits alone", () => {
		const logits = Float32Array.of(1, 5, 5, 2);
		const greedy = sampler({ repetitionPenalty: 1 }, 4);
		expect(greedy.next(logits, [0])).toBe(1);
		expect(greedy.seed).toBeUndefined();
		expect(sampler({ suppressTokens: [1] }, 4).next(logits, [0])).toBe(2);
		expect([...logits]).toEqual([1, 5, 5, 2]);
	});

	test("names the first logit that is not finite", () => {
		for (const bad of [
			Number.NaN,
			Number.POSITIVE_INFINITY,
			Number.NEGATIVE_INFINITY,
		])
			expect(() =>
				sampler({}, 3).next(Float32Array.of(0, bad, 1), [4, 4]),
			).toThrow(
				new EngineError(
					`position 2: the logit of token 1 is ${bad}, expected finite numbers; the weights may be damaged`,
				),
			);
		const tolerant = sampler({ removeInvalidValues: true }, 3);
		expect(tolerant.next(Float32Array.of(-1, Number.NaN, -2), [0])).toBe(1);
	});

	test("an error when nothing is left to choose", () => {
		for (const doSample of [false, true])
			expect(() =>
				sampler(
					{
						doSample,
						topP: 0.5,
						minP: 0.1,
						topH: 0.5,
						typicalP: 0.5,
						etaCutoff: 0.1,
						suppressTokens: [0, 1],
					},
					2,
				).next(Float32Array.of(0, 0), [0]),
			).toThrow(EngineError);
	});
});

describe("processors that take their time", () => {
	const later = async (change: () => void) => {
		await new Promise((resolve) => setTimeout(resolve, 1));
		change();
	};

	test("are waited for, in order", async () => {
		const order: string[] = [];
		const { next } = create(
			{
				logitsProcessors: [
					(scores) =>
						later(() => {
							order.push(`first ${scores[2]}`);
							scores[2] = 7;
						}),
					(scores) => {
						order.push(`second ${scores[2]}`);
					},
					(scores) =>
						later(() => {
							order.push("third");
							scores[1] = 9;
						}),
				],
			},
			3,
		);
		expect(await next(Float32Array.of(3, 2, 1), [0])).toBe(1);
		expect(order).toEqual(["first 1", "second 7", "third"]);
	});

	test("may name the tokens that are allowed", async () => {
		const allowedTokens = async () => new Set([1, 2]);
		const { next } = create({ allowedTokens }, 3);
		expect(await next(Float32Array.of(3, 2, 1), [0])).toBe(1);
	});

	test("may fail", async () => {
		const failing = { logitsProcessors: [() => Promise.reject("no")] };
		const { next } = create(failing, 3);
		await expect(next(Float32Array.of(3, 2, 1), [0])).rejects.toBe("no");
	});
});

describe("sampling", () => {
	test("follows the probabilities", () => {
		const p = [0.5, 0.3, 0.15, 0.05, 0];
		const logits = Float32Array.from(p, (x) => Math.max(Math.log(x), -1e4));
		const next = sampler({ seed: 11, topK: 0 }, 5);
		const counts = [0, 0, 0, 0, 0];
		const draws = 20_000;
		for (let i = 0; i < draws; i++) counts[next.next(logits, [0])]!++;
		for (const [i, count] of counts.entries()) {
			const error = 5 * Math.sqrt((p[i]! * (1 - p[i]!)) / draws);
			expect(Math.abs(count / draws - p[i]!)).toBeLessThanOrEqual(error);
		}
	});

	test("repeats itself with the same seed, also one that was drawn", () => {
		const logits = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i));
		const text = (seed: number | undefined) => {
			const next = sampler({ doSample: true, seed }, 50);
			const ids = Array.from({ length: 40 }, () => next.next(logits, [0]));
			return { ids, seed: next.seed };
		};
		expect(text(5)).toEqual(text(5));
		expect(text(5).ids).not.toEqual(text(6).ids);
		const drawn = text(undefined);
		expect(drawn.seed).toBeTypeOf("number");
		expect(text(drawn.seed)).toEqual(drawn);
	});

	test("never draws what a warper dropped", () => {
		fc.assert(
			fc.property(
				fc.array(fc.float({ min: -5, max: 5, noNaN: true }), {
					minLength: 2,
					maxLength: 40,
				}),
				fc.integer({ min: 1, max: 3 }),
				fc.nat(),
				(scores, topK, seed) => {
					const logits = Float32Array.from(scores);
					const id = sampler({ topK, seed }, scores.length).next(logits, [0]);
					const better = logits.filter((s) => s > logits[id]!).length;
					expect(better).toBeLessThan(topK);
				},
			),
		);
	});

	test("the tokens of seed 42 are these in every runtime", () => {
		const logits = Float32Array.from(
			{ length: 1000 },
			(_, i) => ((i * 7919) % 1000) / 200,
		);
		const next = sampler(
			{ seed: 42, temperature: 0.8, topP: 0.95, topK: 0 },
			1000,
		);
		const ids = Array.from({ length: 8 }, () => next.next(logits, [0]));
		// fixtures/generate/seed.py
		expect(ids).toEqual([769, 398, 398, 988, 321, 549, 494, 334]);
	});
});

describe("stopping", () => {
	const options = {
		promptTokens: 2,
		maxNewTokens: 3,
		maxTimeMs: Number.POSITIVE_INFINITY,
		stopTokenIds: [9],
	};

	test("at the length, or at a stop token even as the last", () => {
		const stopped = createStopping(options);
		expect(stopped([1, 1, 1])).toBeUndefined();
		expect(stopped([1, 1, 9])).toBe("stop");
		expect(stopped([1, 1, 1, 1, 1])).toBe("length");
		expect(stopped([1, 1, 1, 1, 9])).toBe("stop");
	});

	test("a stop token in the prompt stops nothing", () => {
		expect(createStopping(options)([1, 9])).toBeUndefined();
	});

	test("when the time is over", () => {
		let clock = 100;
		const stopped = createStopping({ ...options, maxTimeMs: 50 }, () => clock);
		clock = 150;
		expect(stopped([1, 1, 1])).toBeUndefined();
		clock = 151;
		expect(stopped([1, 1, 1])).toBe("length");
	});
});
