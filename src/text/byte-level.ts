/**
 * The byte alphabet of GPT-2: each of the 256 bytes is written as one visible character, so that a vocabulary of byte
 * strings can be stored as text. Printable Latin-1 bytes stand for themselves, the others follow from U+0100 on.
 */
const characters: readonly string[] = (() => {
	const visible = (byte: number) =>
		(byte >= 0x21 && byte <= 0x7e) ||
		(byte >= 0xa1 && byte <= 0xac) ||
		(byte >= 0xae && byte <= 0xff);
	let hidden = 0x100;
	return Array.from({ length: 256 }, (_, byte) =>
		String.fromCharCode(visible(byte) ? byte : hidden++),
	);
})();

const bytes: ReadonlyMap<string, number> = new Map(
	characters.map((character, byte) => [character, byte]),
);

const utf8 = new TextEncoder();

/** A text in the byte alphabet. */
export function byteLevelSpell(text: string): string {
	let spelled = "";
	for (const byte of utf8.encode(text)) spelled += characters[byte];
	return spelled;
}

/** The bytes that a token of a byte-level vocabulary stands for; a token outside the alphabet stands for its own text. */
export function byteLevelBytes(token: string): Uint8Array {
	const out = new Uint8Array(token.length);
	for (let i = 0; i < token.length; i++) {
		const byte = bytes.get(token.charAt(i));
		if (byte === undefined) return utf8.encode(token);
		out[i] = byte;
	}
	return out;
}

/** The byte of a byte-fallback token such as `<0x0A>`, or undefined for every other token. */
export function fallbackByte(token: string): number | undefined {
	return /^<0x[0-9A-Fa-f]{2}>$/.test(token)
		? Number.parseInt(token.slice(3, 5), 16)
		: undefined;
}

/** How a byte-fallback token is written: `<0x0A>`. */
export function fallbackToken(byte: number): string {
	return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}
