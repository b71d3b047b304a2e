/**
 * Changes scores in place before a token is chosen. What it returns does not matter, but a promise is waited for.
 * @param scores f32[V], one per vocabulary entry; -Infinity forbids a token.
 * @param ids prompt and generated tokens so far.
 */
export type LogitsProcessor = (
	scores: Float32Array,
	ids: readonly number[],
) => unknown;

/**
 * How to choose tokens and when to stop.
 *
 * Names are those of Hugging Face's generation_config.json in camelCase, and so are meanings, defaults and the order in
 * which options apply. An option not given here comes from the checkpoint's generation_config.json, and if it is not
 * there either, from the default named below. Values outside the stated range are an OptionError.
 */
export interface GenerateOptions {
	/**
	 * Most tokens to generate, an integer ≥ 1. One that does not fit into the context after the prompt is a ContextError.
	 * @default generation_config.json's max_new_tokens or max_length as far as they fit, else until the model stops or the context is full
	 */
	maxNewTokens?: number | undefined;
	/**
	 * Tokens before an end-of-sequence or stop token may be chosen, an integer from 0 to `maxNewTokens`. Stop strings still end the text earlier.
	 * @default 0
	 */
	minNewTokens?: number | undefined;
	/**
	 * Milliseconds after which generation ends with the token in progress, > 0; the first token is always produced. The finish reason is "length".
	 * @default no limit
	 */
	maxTimeMs?: number | undefined;
	/**
	 * Ends the text as soon as it contains one of these strings, none of them empty.
	 * @default none
	 */
	stop?: string | readonly string[] | undefined;
	/**
	 * Token ids that end the text, in addition to the model's end-of-sequence tokens, and also under `ignoreEos`.
	 * @default none
	 */
	stopTokenIds?: readonly number[] | undefined;
	/**
	 * End-of-sequence token or tokens, instead of the model's own.
	 * @default the model's
	 */
	eosTokenId?: number | readonly number[] | undefined;
	/**
	 * Goes on after an end-of-sequence token, for measurements of equal length.
	 * @default false
	 */
	ignoreEos?: boolean | undefined;
	/** Ends prompt processing or generation early: the result rejects with the signal's reason, and parts that came before stay valid. */
	signal?: AbortSignal | undefined;

	/**
	 * Draws tokens at random (true) or always takes the most probable one (false).
	 * Unlike transformers, which ignores sampling options unless do_sample is set, giving any of `temperature` (> 0), `topK`,
	 * `topP`, `minP`, `topH`, `typicalP`, `epsilonCutoff`, `etaCutoff` or `seed` here means true; `temperature: 0` means false.
	 * @default the model's do_sample, else false
	 */
	doSample?: boolean | undefined;
	/**
	 * Divides the scores: below 1 the probable gets more probable, above 1 less. ≥ 0; 0 takes the most probable token and
	 * contradicts `doSample: true`.
	 * @default 1
	 */
	temperature?: number | undefined;
	/**
	 * Samples from the `topK` most probable tokens, an integer ≥ 0. Ties for the last place all stay; 0 switches this off.
	 * @default 50, also when sampling with no other option
	 */
	topK?: number | undefined;
	/**
	 * Samples from the fewest tokens whose probabilities reach `topP` together, 0 to 1. 1 keeps all; 0 keeps one.
	 * @default 1
	 */
	topP?: number | undefined;
	/**
	 * Drops tokens less probable than `minP` times the most probable one, 0 to 1. 0 keeps all.
	 * @default 0
	 */
	minP?: number | undefined;
	/**
	 * Top-H sampling: keeps the most probable tokens until they account for this part of the entropy of the best 100, above 0 up to 1.
	 * @default off
	 */
	topH?: number | undefined;
	/**
	 * Locally typical sampling: keeps the tokens whose information is nearest to the entropy, until their probabilities reach
	 * this mass; above 0 up to 1. The most probable token may be dropped; 1 keeps all.
	 * @default 1
	 */
	typicalP?: number | undefined;
	/**
	 * Drops tokens less probable than this, 0 up to (not including) 1; the most probable one always stays. 0 keeps all.
	 * @default 0
	 */
	epsilonCutoff?: number | undefined;
	/**
	 * Drops tokens less probable than min(ε, √ε · e^-entropy), 0 up to (not including) 1; the most probable one always stays. 0 keeps all.
	 * @default 0
	 */
	etaCutoff?: number | undefined;
	/**
	 * Starts the random numbers, an integer from 0 to 2^53 - 1. Equal logits, options and seed give the same tokens in every runtime.
	 * @default drawn at random, and reported in the result
	 */
	seed?: number | undefined;

	/**
	 * Divides positive and multiplies negative scores of every token in prompt and text, however often it occurs; > 0.
	 * Above 1 discourages repetition.
	 * @default 1
	 */
	repetitionPenalty?: number | undefined;
	/**
	 * The opposite for the tokens of the prompt: above 1 makes them more probable; > 0.
	 * @default 1
	 */
	encoderRepetitionPenalty?: number | undefined;
	/**
	 * Forbids to repeat any run of this many tokens of prompt and text, an integer ≥ 0. 1 forbids every token seen; 0 forbids none.
	 * @default 0
	 */
	noRepeatNgramSize?: number | undefined;
	/**
	 * Forbids to repeat any run of this many tokens of the prompt, an integer ≥ 0.
	 * @default 0
	 */
	encoderNoRepeatNgramSize?: number | undefined;
	/**
	 * Pairs [token ids, bias]: adds the bias to the last id's score whenever the ids before it have just been generated. A bias is finite or -Infinity.
	 * @default none
	 */
	sequenceBias?: readonly (readonly [readonly number[], number])[] | undefined;
	/**
	 * Sequences of token ids that must not be completed; one that is just an end-of-sequence token is ignored.
	 * @default none
	 */
	badWordsIds?: readonly (readonly number[])[] | undefined;
	/**
	 * Token ids that are never chosen.
	 * @default none
	 */
	suppressTokens?: readonly number[] | undefined;
	/**
	 * Token ids that are not chosen as the first token after the prompt.
	 * @default none
	 */
	beginSuppressTokens?: readonly number[] | undefined;
	/**
	 * [start, factor]: from `start` generated tokens on, end-of-sequence gets more probable by a factor that grows as factor^n;
	 * start is an integer ≥ 0, factor > 0 (below 1: less probable).
	 * @default off
	 */
	exponentialDecayLengthPenalty?: readonly [number, number] | undefined;
	/**
	 * The only token allowed after a prompt of one token.
	 * @default none
	 */
	forcedBosTokenId?: number | undefined;
	/**
	 * The only token or tokens allowed as the last of `maxNewTokens`.
	 * @default none
	 */
	forcedEosTokenId?: number | readonly number[] | undefined;
	/**
	 * Given prompt and text so far, the ids that may come next, or a promise of them; returning none is an error.
	 * @default every id
	 */
	allowedTokens?:
		| ((ids: readonly number[]) => Iterable<number> | Promise<Iterable<number>>)
		| undefined;
	/**
	 * Replaces NaN by 0 and ±Infinity by the largest float of that sign, where otherwise an EngineError is thrown.
	 * @default false
	 */
	removeInvalidValues?: boolean | undefined;
	/**
	 * Turns the final scores into log-probabilities.
	 * @default false
	 */
	renormalizeLogits?: boolean | undefined;
	/**
	 * Own functions, applied in order after all penalties and bans and before `temperature`.
	 * @default none
	 */
	logitsProcessors?: readonly LogitsProcessor[] | undefined;
}
