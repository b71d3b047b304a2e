import { describe, expect, test } from "vitest";
import {
	CheckpointError,
	ContextError,
	OptionError,
	UnsupportedError,
} from "../src/errors.ts";
import type { GenerateOptions } from "../src/generate/options.ts";
import { resolveOptions } from "../src/generate/resolve.ts";

const limits = { vocabularySize: 100, promptTokens: 10, contextTokens: 64 };
const resolve = (
	options: GenerateOptions,
	config: Record<string, unknown> = {},
) => resolveOptions(options, config, limits);

describe("priority", () => {
	test("the call wins over generation_config.json, which wins over the default", () => {
		const config = { top_k: 7, top_p: 0.9, repetition_penalty: null };
		expect(resolve({ topK: 3 }, config)).toMatchObject({
			topK: 3,
			topP: 0.9,
			repetitionPenalty: 1,
			minP: 0,
			temperature: 1,
		});
		expect(resolve({})).toMatchObject({ topK: 50, doSample: false });
		expect(resolve({ topK: undefined }, config).topK).toBe(7);
	});

	test("a stored value that is overridden is not looked at", () => {
		expect(
			resolve({ temperature: 0.5 }, { temperature: "hot" }).temperature,
		).toBe(0.5);
	});
});

describe("greedy or sampling", () => {
	const cases: [GenerateOptions, Record<string, unknown>, boolean][] = [
		[{}, {}, false],
		[{}, { do_sample: true }, true],
		[{}, { temperature: 0.6, top_p: 0.9 }, false],
		[{}, { do_sample: true, temperature: 0 }, false],
		[{ temperature: 0 }, { do_sample: true }, false],
		[{ temperature: 0, topP: 0.5, seed: 1 }, {}, false],
		[{ temperature: 0.7 }, {}, true],
		[{ topK: 5 }, {}, true],
		[{ topP: 0.5 }, {}, true],
		[{ minP: 0.1 }, {}, true],
		[{ seed: 0 }, {}, true],
		[{ seed: undefined }, {}, false],
		[{ doSample: false, temperature: 0.7 }, { do_sample: true }, false],
		[{ doSample: true }, {}, true],
		[{ repetitionPenalty: 1.1 }, {}, false],
	];
	for (const [options, config, doSample] of cases)
		test(`${JSON.stringify(options)} with ${JSON.stringify(config)}`, () => {
			expect(resolve(options, config).doSample).toBe(doSample);
		});

	test("asking for sampling at temperature 0 is a contradiction", () => {
		expect(() => resolve({ doSample: true, temperature: 0 })).toThrow(
			OptionError,
		);
	});
});

describe("length", () => {
	test("until the context is full, unless someone says less", () => {
		expect(resolve({}).maxNewTokens).toBe(54);
		expect(resolve({ maxNewTokens: 54 }).maxNewTokens).toBe(54);
		expect(resolve({}, { max_new_tokens: 5 }).maxNewTokens).toBe(5);
		expect(resolve({}, { max_new_tokens: 500 }).maxNewTokens).toBe(54);
		expect(resolve({}, { max_length: 30 }).maxNewTokens).toBe(20);
		expect(
			resolve({}, { max_length: 30, max_new_tokens: 5 }).maxNewTokens,
		).toBe(5);
	});

	test("what the call asks for must fit", () => {
		expect(() => resolve({ maxNewTokens: 55 })).toThrow(
			new ContextError(
				"maxNewTokens is 55, expected at most 54: the context has 64 tokens and the prompt takes 10",
			),
		);
		expect(() =>
			resolveOptions({}, {}, { ...limits, promptTokens: 64 }),
		).toThrow(ContextError);
		expect(() => resolve({}, { max_length: 10 })).toThrow(ContextError);
		expect(() =>
			resolveOptions({}, {}, { ...limits, promptTokens: 0 }),
		).toThrow(OptionError);
	});

	test("at least", () => {
		expect(resolve({}, { min_length: 14 }).minNewTokens).toBe(4);
		expect(resolve({}, { min_length: 4, min_new_tokens: 2 }).minNewTokens).toBe(
			2,
		);
		expect(
			resolve({ maxNewTokens: 3 }, { min_new_tokens: 8 }).minNewTokens,
		).toBe(3);
		expect(() => resolve({ maxNewTokens: 3, minNewTokens: 4 })).toThrow(
			OptionError,
		);
	});

	test("max_time is stored in seconds", () => {
		expect(resolve({}, { max_time: 2 }).maxTimeMs).toBe(2000);
		expect(resolve({}).maxTimeMs).toBe(Number.POSITIVE_INFINITY);
	});
});

describe("end tokens", () => {
	test("the model's and the call's", () => {
		expect(
			resolve({ stopTokenIds: [5, 1] }, { eos_token_id: [1, 2] }),
		).toMatchObject({
			eosTokenIds: [1, 2],
			endTokenIds: [1, 2, 5],
			stopTokenIds: [1, 2, 5],
		});
		expect(resolve({}, { eos_token_id: 3 }).stopTokenIds).toEqual([3]);
		expect(
			resolve({ eosTokenId: 4 }, { eos_token_id: 3 }).stopTokenIds,
		).toEqual([4]);
	});

	test("ignoreEos leaves the call's own", () => {
		expect(
			resolve({ ignoreEos: true, stopTokenIds: [5] }, { eos_token_id: 3 }),
		).toMatchObject({ eosTokenIds: [3], stopTokenIds: [5] });
	});

	test("one stop string or several", () => {
		expect(resolve({ stop: "a" }).stop).toEqual(["a"]);
		expect(resolve({ stop: ["a", "b"] }).stop).toEqual(["a", "b"]);
		expect(resolve({}).stop).toEqual([]);
	});
});

describe("ranges", () => {
	const rejected: Record<string, unknown[]> = {
		maxNewTokens: [
			0,
			-1,
			1.5,
			Number.NaN,
			"10",
			null,
			Number.POSITIVE_INFINITY,
		],
		minNewTokens: [-1, 0.5],
		maxTimeMs: [0, -1, Number.NaN],
		stop: ["", [""], 3, ["a", 1]],
		stopTokenIds: [[100], [-1], [1.5], 3],
		eosTokenId: [100, -1, "</s>"],
		ignoreEos: [1, "yes"],
		doSample: [1],
		temperature: [-0.1, Number.NaN, Number.POSITIVE_INFINITY, "1"],
		topK: [-1, 1.5, "50"],
		topP: [-0.1, 1.1, Number.NaN],
		minP: [-0.1, 1.1],
		topH: [0, 1.1],
		typicalP: [0, 1.1],
		epsilonCutoff: [-0.1, 1],
		etaCutoff: [-0.1, 1],
		seed: [-1, 0.5, 2 ** 53, Number.NaN],
		repetitionPenalty: [0, -1, Number.NaN],
		encoderRepetitionPenalty: [0],
		noRepeatNgramSize: [-1, 0.5],
		encoderNoRepeatNgramSize: [-1],
		sequenceBias: [
			[[[], 1]],
			[[[1], Number.POSITIVE_INFINITY]],
			[[[100], 1]],
			[[1, 1]],
		],
		badWordsIds: [[[]], [[100]], [1]],
		suppressTokens: [[100], 1],
		beginSuppressTokens: [[100]],
		exponentialDecayLengthPenalty: [[-1, 1], [1, 0], [1], 1.1],
		forcedBosTokenId: [100, [1]],
		forcedEosTokenId: [100],
		allowedTokens: [[1, 2]],
		removeInvalidValues: ["no"],
		renormalizeLogits: [0],
		logitsProcessors: [[1], () => {}],
	};
	for (const [name, values] of Object.entries(rejected))
		test(name, () => {
			for (const value of values) {
				const call = () => resolve({ [name]: value } as GenerateOptions);
				expect(call).toThrow(OptionError);
				expect(call).toThrow(new RegExp(`^${name} is .*, expected `));
			}
		});

	test("an error names option, value and range", () => {
		expect(() => resolve({ topP: 1.5 })).toThrow(
			"topP is 1.5, expected a number from 0 to 1",
		);
		expect(() => resolve({ suppressTokens: [7, 100] })).toThrow(
			"suppressTokens is [7,100], expected a list of token ids below 100",
		);
	});

	test("a bad value in generation_config.json is the checkpoint's fault", () => {
		expect(() => resolve({}, { top_p: 1.5 })).toThrow(
			new CheckpointError(
				"generation_config.json: top_p is 1.5, expected a number from 0 to 1",
			),
		);
		expect(() =>
			resolveOptions({}, { top_p: 1.5 }, limits, "m.gguf: metadata"),
		).toThrow("m.gguf: metadata: top_p is 1.5");
	});

	test("what would change the text and does not exist here is refused", () => {
		expect(() => resolve({}, { num_beams: 4 })).toThrow(
			new UnsupportedError(
				"generation_config.json: num_beams is 4, only 1 is supported",
			),
		);
		expect(resolve({}, { num_beams: 1, guidance_scale: null }).doSample).toBe(
			false,
		);
	});
});
