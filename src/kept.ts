import type { Engine, Span } from "./engine/engine.ts";
import type { Sequence } from "./engine/pages.ts";

/** Tokens, and the images among them: what those were cannot be told from the tokens. */
interface Text {
	readonly ids: readonly number[];
	readonly spans: readonly Span[];
}

/** An image, and what the encoder made of it. */
interface SeenImage {
	readonly patches: Float32Array;
	readonly rows: Float32Array;
}

/** What the last prompt left behind: the next turn of a conversation begins like it, and shows the same images. */
export class Kept {
	readonly #engine: Engine;
	#text: (Text & { readonly sequence: Sequence }) | undefined;
	/** Of the last prompt that had any. */
	#images: readonly SeenImage[] = [];

	constructor(engine: Engine) {
		this.#engine = engine;
	}

	/** A sequence, the caller's, that already holds as much as possible of a text, but not its last token, whose logits are wanted. */
	take(text: Text): { sequence: Sequence; reusedTokens: number } {
		const kept = this.#text;
		this.#text = undefined;
		if (!kept)
			return { sequence: this.#engine.createSequence(), reusedTokens: 0 };
		const { sequence } = kept;
		const most = Math.min(text.ids.length - 1, sequence.length);
		const same = sameTokens(kept, text, most);
		const reusedTokens = sequence.canTruncate(same) ? same : 0;
		sequence.truncate(reusedTokens);
		return { sequence, reusedTokens };
	}

	/** Keeps a text, whose tokens may be fewer in the sequence, in the place of the last one. */
	keep(text: Text & { readonly sequence: Sequence }): void {
		this.#text?.sequence.clear();
		this.#text = text;
	}

	/** The soft tokens of images, of which those that the last prompt did not have go through `encode`. */
	async encode(
		images: readonly Float32Array[],
		encode: (patches: Float32Array) => Promise<Float32Array>,
	): Promise<Float32Array[]> {
		const seen: SeenImage[] = [];
		for (const patches of images) {
			const known = [...seen, ...this.#images].find((image) =>
				areEqual(image.patches, patches),
			);
			seen.push(known ?? { patches, rows: await encode(patches) });
		}
		if (seen.length > 0) this.#images = seen;
		return seen.map(({ rows }) => rows);
	}

	/** Forgets everything. */
	clear(): void {
		this.#text = undefined;
		this.#images = [];
	}
}

/** With how many of the same tokens, at most `most`, two texts begin. An image counts whole and where it is the same, or not at all. */
function sameTokens(a: Text, b: Text, most: number): number {
	let same = 0;
	while (same < most && a.ids[same] === b.ids[same]) same++;
	for (const [i, { start, length, rows }] of b.spans.entries()) {
		if (start >= same) break;
		// What is encoded once has its rows once.
		const other = a.spans[i];
		if (start + length > same || other?.start !== start || other.rows !== rows)
			return start;
	}
	return same;
}

const areEqual = (a: Float32Array, b: Float32Array): boolean =>
	a.length === b.length && a.every((x, i) => x === b[i]);
