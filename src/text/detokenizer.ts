import type { Spelling } from "./spelling.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface DetokenizerOptions {
	/**
	 * Leaves control tokens out of the text.
	 * @default false
	 */
	readonly skipSpecialTokens?: boolean;
	/** Control tokens to keep although the others are skipped, such as the ones that mark reasoning or tool calls. */
	readonly keep?: ReadonlySet<number>;
	/**
	 * The tokens continue a text instead of beginning one, so a first token that begins a word brings its space along.
	 * @default false
	 */
	readonly continues?: boolean;
}

/** Turns tokens into text as they come. All texts together equal `decode` of all the tokens. */
export interface Detokenizer {
	/** The text that this token completes: empty while a character's last bytes are missing. */
	push(id: number): string;
	/** What is left at the end: U+FFFD for a character that never became complete. A new text may begin afterwards. */
	flush(): string;
}

export function createDetokenizer(
	tokenizer: Pick<Tokenizer, "tokenBytes" | "leading">,
	options: DetokenizerOptions = {},
): Detokenizer {
	const { skipSpecialTokens = false, keep, continues = false } = options;
	const begin = () =>
		leadingFilter(continues ? { kind: "none" } : tokenizer.leading);
	// Without ignoreBOM a U+FEFF at the start would be swallowed.
	const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
	let filter = begin();
	return {
		push(id) {
			const skip = skipSpecialTokens && !keep?.has(id);
			const bytes = filter(tokenizer.tokenBytes(id, skip));
			return bytes.length === 0 ? "" : utf8.decode(bytes, { stream: true });
		},
		flush() {
			filter = begin();
			return utf8.decode();
		},
	};
}

const SPACE = 0x20;

/** Takes the bytes of one token after the other and drops what the text must not begin with. */
export function leadingFilter(
	leading: Spelling["leading"],
): (bytes: Uint8Array) => Uint8Array {
	let left =
		leading.kind === "none"
			? 0
			: leading.kind === "spaces"
				? leading.most
				: Number.POSITIVE_INFINITY;
	return (bytes) => {
		if (left === 0 || bytes.length === 0) return bytes;
		if (leading.kind === "first-token") {
			left = 0;
			return bytes.filter((byte) => byte !== SPACE);
		}
		let at = 0;
		while (at < bytes.length && at < left && bytes[at] === SPACE) at++;
		left = at < bytes.length ? 0 : left - at;
		return bytes.subarray(at);
	};
}
