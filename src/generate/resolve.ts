import {
	CheckpointError,
	ContextError,
	OptionError,
	UnsupportedError,
} from "../errors.ts";
import type { GenerateOptions, LogitsProcessor } from "./options.ts";
import {
	above,
	below,
	bias,
	callable,
	either,
	flag,
	from,
	integer,
	listOf,
	nonEmpty,
	nonEmptyString,
	pairOf,
	type Range,
	show,
} from "./ranges.ts";

/** Every option with its final value: what the call said, else generation_config.json, else the default. */
export type ResolvedOptions = ReturnType<typeof resolveOptions>;

/** What the options must fit. */
export interface GenerationLimits {
	/** Entries of the vocabulary, V. */
	readonly vocabularySize: number;
	/** Length of the prompt in tokens, ≥ 1. */
	readonly promptTokens: number;
	/** Most tokens of prompt and text together. */
	readonly contextTokens: number;
}

/** Giving one of these asks for sampling. */
const samplingOptions = [
	"temperature",
	"topK",
	"topP",
	"minP",
	"topH",
	"typicalP",
	"epsilonCutoff",
	"etaCutoff",
	"seed",
] as const satisfies (keyof GenerateOptions)[];

/** Keys of generation_config.json that would change the text and are not implemented, with the values that change nothing. */
const unsupportedKeys: Readonly<Record<string, readonly unknown[]>> = {
	num_beams: [1],
	num_beam_groups: [1],
	guidance_scale: [1],
	token_healing: [false],
};

const snakeCase = (name: string) =>
	name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/**
 * Decides the value of every option.
 * @param config generation_config.json, or config.json's equivalents where there is none: null and absent are the same.
 * @param file what it was read from, for error messages
 * @throws OptionError for an option out of range, CheckpointError for such a value in `config`,
 * UnsupportedError for beam search and the like in `config`, ContextError when the prompt or the asked-for text does not fit.
 */
export function resolveOptions(
	options: GenerateOptions,
	config: Readonly<Record<string, unknown>>,
	limits: GenerationLimits,
	file = "generation_config.json",
) {
	for (const [key, neutral] of Object.entries(unsupportedKeys)) {
		const value = config[key] ?? neutral[0];
		if (!neutral.includes(value))
			throw new UnsupportedError(
				`${file}: ${key} is ${show(value)}, only ${show(neutral[0])} is supported`,
			);
	}

	function stored<T>(key: string, range: Range<T>): T | undefined {
		const value = config[key];
		if (value === undefined || value === null) return undefined;
		if (range.has(value)) return value;
		throw new CheckpointError(
			`${file}: ${key} is ${show(value)}, expected ${range.expected}`,
		);
	}
	function given<T>(
		name: keyof GenerateOptions,
		range: Range<T>,
	): T | undefined {
		const value = options[name];
		if (value === undefined) return undefined;
		if (range.has(value)) return value;
		throw new OptionError(
			`${name} is ${show(value)}, expected ${range.expected}`,
		);
	}
	const value = <T>(name: keyof GenerateOptions, range: Range<T>) =>
		given(name, range) ?? stored(snakeCase(name), range);

	const id = integer(0, limits.vocabularySize - 1);
	const ids = listOf(id, `token ids below ${limits.vocabularySize}`);
	const oneOrMoreIds = either(id, ids);

	const maxNewTokens = resolveLength(given, stored, limits);
	const minNewTokens = Math.max(
		stored("min_new_tokens", integer(0)) ?? 0,
		(stored("min_length", integer(0)) ?? 0) - limits.promptTokens,
	);
	const eosTokenIds = asList(value("eosTokenId", oneOrMoreIds) ?? []);
	const stopTokenIds = given("stopTokenIds", ids) ?? [];
	const ignoreEos = given("ignoreEos", flag) ?? false;
	const temperature = value("temperature", from(0)) ?? 1;

	return {
		vocabularySize: limits.vocabularySize,
		promptTokens: limits.promptTokens,

		maxNewTokens,
		minNewTokens:
			given("minNewTokens", integer(0, maxNewTokens)) ??
			Math.min(minNewTokens, maxNewTokens),
		/** Infinity where there is no limit. */
		maxTimeMs:
			given("maxTimeMs", above(0)) ??
			(stored("max_time", above(0)) ?? Number.POSITIVE_INFINITY) * 1000,
		stop: asList(
			given(
				"stop",
				either(nonEmptyString, listOf(nonEmptyString, "such strings")),
			) ?? [],
		),
		/** The model's end-of-sequence tokens, whether or not they end this text. */
		eosTokenIds,
		/** Tokens that minNewTokens holds back. */
		endTokenIds: [...new Set([...eosTokenIds, ...stopTokenIds])],
		/** Tokens that end this text. */
		stopTokenIds: [
			...new Set([...(ignoreEos ? [] : eosTokenIds), ...stopTokenIds]),
		],

		doSample: resolveSampling(
			options,
			given("doSample", flag),
			stored("do_sample", flag),
			temperature,
		),
		temperature,
		topK: value("topK", integer(0)) ?? 50,
		topP: value("topP", from(0, 1)) ?? 1,
		minP: value("minP", from(0, 1)) ?? 0,
		topH: value("topH", above(0, 1)),
		typicalP: value("typicalP", above(0, 1)) ?? 1,
		epsilonCutoff: value("epsilonCutoff", below(0, 1)) ?? 0,
		etaCutoff: value("etaCutoff", below(0, 1)) ?? 0,
		seed: given("seed", integer(0)),

		repetitionPenalty: value("repetitionPenalty", above(0)) ?? 1,
		encoderRepetitionPenalty: value("encoderRepetitionPenalty", above(0)) ?? 1,
		noRepeatNgramSize: value("noRepeatNgramSize", integer(0)) ?? 0,
		encoderNoRepeatNgramSize:
			value("encoderNoRepeatNgramSize", integer(0)) ?? 0,
		sequenceBias:
			value(
				"sequenceBias",
				listOf(pairOf(nonEmpty(ids), bias), "pairs [token ids, bias]"),
			) ?? [],
		badWordsIds:
			value("badWordsIds", listOf(nonEmpty(ids), "lists of token ids")) ?? [],
		suppressTokens: value("suppressTokens", ids) ?? [],
		beginSuppressTokens: value("beginSuppressTokens", ids) ?? [],
		exponentialDecayLengthPenalty: value(
			"exponentialDecayLengthPenalty",
			pairOf(integer(0), above(0)),
		),
		forcedBosTokenId: value("forcedBosTokenId", id),
		forcedEosTokenIds: asList(value("forcedEosTokenId", oneOrMoreIds) ?? []),
		allowedTokens: given(
			"allowedTokens",
			callable<NonNullable<GenerateOptions["allowedTokens"]>>(),
		),
		removeInvalidValues: value("removeInvalidValues", flag) ?? false,
		renormalizeLogits: value("renormalizeLogits", flag) ?? false,
		logitsProcessors:
			given(
				"logitsProcessors",
				listOf(callable<LogitsProcessor>(), "functions"),
			) ?? [],
	};
}

type Given = <T>(name: keyof GenerateOptions, range: Range<T>) => T | undefined;
type Stored = <T>(key: string, range: Range<T>) => T | undefined;

/**
 * The most tokens to generate. What the call asks for must fit; the checkpoint's own limits are cut to the room there is.
 * (transformers stops after 20 tokens when nobody set a limit.)
 */
function resolveLength(
	given: Given,
	stored: Stored,
	{ promptTokens, contextTokens }: GenerationLimits,
): number {
	if (promptTokens < 1)
		throw new OptionError("prompt: found no tokens, expected at least 1");
	const room = contextTokens - promptTokens;
	if (room < 1)
		throw new ContextError(
			`prompt: found ${promptTokens} tokens, expected fewer than the ${contextTokens} of the context`,
		);
	const asked = given("maxNewTokens", integer(1));
	if (asked !== undefined) {
		if (asked <= room) return asked;
		throw new ContextError(
			`maxNewTokens is ${asked}, expected at most ${room}: the context has ${contextTokens} tokens and the prompt takes ${promptTokens}`,
		);
	}
	const fresh = stored("max_new_tokens", integer(1));
	if (fresh !== undefined) return Math.min(fresh, room);
	const total = stored("max_length", integer(1));
	if (total === undefined) return room;
	if (total > promptTokens) return Math.min(total - promptTokens, room);
	throw new ContextError(
		`prompt: found ${promptTokens} tokens, expected fewer than the checkpoint's max_length of ${total}; maxNewTokens overrides it`,
	);
}

function resolveSampling(
	options: GenerateOptions,
	given: boolean | undefined,
	stored: boolean | undefined,
	temperature: number,
): boolean {
	if (given && temperature === 0)
		throw new OptionError(
			"temperature is 0 and doSample is true, expected a temperature above 0 or doSample: false",
		);
	if (given !== undefined) return given;
	if (temperature === 0) return false;
	return (
		samplingOptions.some((name) => options[name] !== undefined) ||
		(stored ?? false)
	);
}

function asList<T>(value: T | readonly T[]): readonly T[] {
	return Array.isArray(value) ? value : [value as T];
}
