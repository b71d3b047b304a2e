import type { createTokenizerFrom } from "../text/open.ts";

type Made = Parameters<typeof createTokenizerFrom>;

/**
 * What a tokenizer is built from, as JSON. Another thread gets its bytes for nothing, and need not look at them before
 * somebody there wants a tokenizer: a vocabulary has some hundred thousand entries.
 */
export function encodeText([files, options]: Made): Uint8Array {
	const text =
		files.kind === "files"
			? files
			: {
					kind: files.kind,
					metadata: [...files.metadata.keys()]
						.filter((key) => key.startsWith("tokenizer."))
						.map((key) => [key, listed(files.metadata.get(key))]),
				};
	return new TextEncoder().encode(
		JSON.stringify([text, options], (_, value) =>
			typeof value === "bigint" ? Number(value) : value,
		),
	);
}

/** The other side of `encodeText`. */
export function decodeText(bytes: Uint8Array): Made {
	const [text, options] = JSON.parse(new TextDecoder().decode(bytes));
	return [
		text.kind === "files"
			? text
			: { ...text, metadata: new Map(text.metadata) },
		options,
	];
}

/** Arrays of metadata may be anything that can be iterated. */
const listed = (value: unknown): unknown =>
	typeof value === "object" && value !== null && Symbol.iterator in value
		? Array.from(value as Iterable<unknown>)
		: value;
