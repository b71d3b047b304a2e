import {
	allowedTokens,
	beginSuppress,
	forcedBos,
	forcedEos,
	minNewTokens,
	removeInvalid,
	suppress,
} from "./bans.ts";
import type { LogitsProcessor } from "./options.ts";
import {
	badWords,
	encoderNoRepeatNgram,
	encoderRepetitionPenalty,
	exponentialDecay,
	noRepeatNgram,
	repetitionPenalty,
	sequenceBias,
} from "./penalties.ts";
import type { ResolvedOptions } from "./resolve.ts";
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
} from "./warpers.ts";

/** The processors that these options ask for, in the order of transformers: the result depends on it. Warpers come after them. */
export function createProcessors(
	options: ResolvedOptions,
): readonly LogitsProcessor[] {
	const { vocabularySize, promptTokens } = options;
	const decay = options.exponentialDecayLengthPenalty;
	const processors: readonly (LogitsProcessor | false | undefined)[] = [
		options.sequenceBias.length > 0 && sequenceBias(options.sequenceBias),
		options.encoderRepetitionPenalty !== 1 &&
			encoderRepetitionPenalty(
				options.encoderRepetitionPenalty,
				vocabularySize,
				promptTokens,
			),
		options.repetitionPenalty !== 1 &&
			repetitionPenalty(options.repetitionPenalty, vocabularySize),
		options.noRepeatNgramSize > 0 && noRepeatNgram(options.noRepeatNgramSize),
		options.encoderNoRepeatNgramSize > 0 &&
			encoderNoRepeatNgram(options.encoderNoRepeatNgramSize, promptTokens),
		options.badWordsIds.length > 0 &&
			badWords(options.badWordsIds, options.eosTokenIds),
		options.minNewTokens > 0 &&
			minNewTokens(options.minNewTokens, promptTokens, options.endTokenIds),
		options.allowedTokens && allowedTokens(options.allowedTokens),
		options.forcedBosTokenId !== undefined &&
			forcedBos(options.forcedBosTokenId),
		options.forcedEosTokenIds.length > 0 &&
			forcedEos(options.forcedEosTokenIds, promptTokens + options.maxNewTokens),
		options.removeInvalidValues && removeInvalid,
		decay && exponentialDecay(...decay, promptTokens, options.eosTokenIds),
		options.suppressTokens.length > 0 && suppress(options.suppressTokens),
		options.beginSuppressTokens.length > 0 &&
			beginSuppress(options.beginSuppressTokens, promptTokens),
		...options.logitsProcessors,
	];
	return processors.filter((processor) => typeof processor === "function");
}

/** What these options ask for after the processors, in the order of transformers. The first of them, temperature, is the divisor of what is gathered. */
export function createWarpers(options: ResolvedOptions): readonly Warper[] {
	const { doSample } = options;
	const warpers: readonly (Warper | false)[] = [
		doSample && options.topH !== undefined && topH(options.topH),
		doSample && options.topK > 0 && topK(options.topK),
		doSample && options.topP < 1 && topP(options.topP),
		doSample && options.minP > 0 && minP(options.minP),
		doSample && options.typicalP < 1 && typical(options.typicalP),
		doSample &&
			options.epsilonCutoff > 0 &&
			epsilonCutoff(options.epsilonCutoff),
		doSample && options.etaCutoff > 0 && etaCutoff(options.etaCutoff),
		options.renormalizeLogits && logNormalize,
	];
	return warpers.filter((warper) => typeof warper === "function");
}
