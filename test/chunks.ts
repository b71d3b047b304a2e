/** `text` in pieces of these lengths. */
export function* chunks(
	text: string,
	lengths: Iterable<number>,
): Generator<string> {
	let at = 0;
	for (const length of lengths) {
		if (at >= text.length) return;
		yield text.slice(at, at + length);
		at += length;
	}
}
