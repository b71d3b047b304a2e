import type { Spelling } from "./spelling.ts";

export interface EncodeOptions {
	/**
	 * Adds what the tokenizer puts around every text, such as `<bos>`. Switch it off for text that came out of a chat
	 * template, which has written these tokens itself.
	 * @default true
	 */
	readonly addSpecialTokens?: boolean;
	/**
	 * Whether control tokens spelled out in the text, such as `<|im_end|>`, become those tokens. Switch it off for text
	 * by strangers that must not be able to end a turn or open another.
	 * @default true
	 */
	readonly parseSpecialTokens?: boolean;
}

export interface DecodeOptions {
	/**
	 * Leaves control tokens out of the text.
	 * @default false
	 */
	readonly skipSpecialTokens?: boolean;
	/**
	 * Removes the space before `.`, `?`, `!`, `,` and English contractions, as old releases of transformers did for
	 * tokenizers whose configuration says `clean_up_tokenization_spaces`. It damages code and many languages; current
	 * releases ignore that entry for the vocabularies supported here, and so does this default.
	 * @default false
	 */
	readonly cleanUpTokenizationSpaces?: boolean;
}

/** Text to token ids and back. Tables of the vocabulary are built when they are first needed, not before. */
export interface Tokenizer {
	/** One more than the largest token id. The model's own vocabulary may be padded to a larger size. */
	readonly vocabularySize: number;
	/** Contents of the named special tokens, by their names in tokenizer_config.json: `bos_token`, `eos_token`, … */
	readonly specialTokens: Readonly<Record<string, string>>;
	/** What a text begins with, where the vocabulary has such a token. It is added only if the tokenizer says so. */
	readonly bosId: number | undefined;
	/** What ends a text. */
	readonly eosId: number | undefined;
	/** Every token that ends a text or a turn as far as the tokenizer knows, `eosId` first. */
	readonly endIds: readonly number[];
	/** Token ids of a text. Unpaired surrogates count as U+FFFD. */
	encode(text: string, options?: EncodeOptions): number[];
	/** Text of token ids. Bytes that are not UTF-8 become U+FFFD, ids outside the vocabulary nothing. */
	decode(ids: Iterable<number>, options?: DecodeOptions): string;
	/** Id of the token that the vocabulary spells exactly so; `undefined` where there is none. */
	tokenId(token: string): number | undefined;
	/** A token as the vocabulary spells it: `Ġthe`, `▁the`, `<0x0A>`. */
	token(id: number): string | undefined;
	/**
	 * The bytes that a token adds to a text, which need not be whole characters. Empty for ids outside the vocabulary,
	 * and for control tokens if they are skipped. The array is shared: do not write to it.
	 */
	tokenBytes(id: number, skipSpecialTokens?: boolean): Uint8Array;
	/** Whether this is a control token. */
	isSpecial(id: number): boolean;
	/** What is dropped at the very start of a decoded text. */
	readonly leading: Spelling["leading"];
}
