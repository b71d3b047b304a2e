import type { Sequence } from "./pages.ts";

/** Soft tokens: rows that stand in for the embeddings of some tokens, which see each other in both directions. */
export interface Span {
	/** Index of the first of these tokens. */
	readonly start: number;
	/** Number of tokens. */
	readonly length: number;
	/** f32[length, D] */
	readonly rows: Float32Array;
}

/** New tokens of one sequence in a step. */
export interface Feed {
	readonly sequence: Sequence;
	readonly tokens: ArrayLike<number>;
	/** Soft tokens among them: none that began in an earlier step or ends in a later one. @default none */
	readonly spans?: readonly Span[] | undefined;
	/** Tokens at the end whose logits are wanted. */
	readonly outputs: number;
}

/** What a step's rows are: one number per row, and of `output` one per row whose logits are wanted. */
export const columns = [
	"token",
	"position",
	"sequence",
	"last",
	"soft",
	"output",
] as const;

type Column = (typeof columns)[number];

/** Columns of the row table. */
export function tabulate(
	feeds: readonly Feed[],
): Readonly<Record<Column, readonly number[]>> {
	const token: number[] = [];
	const position: number[] = [];
	const sequence: number[] = [];
	const last: number[] = [];
	const soft: number[] = [];
	const output: number[] = [];
	for (const [slot, feed] of feeds.entries()) {
		const first = token.length;
		for (let i = 0; i < feed.tokens.length; i++) {
			if (i >= feed.tokens.length - feed.outputs) output.push(token.length);
			token.push(feed.tokens[i]!);
			position.push(feed.sequence.length + i);
			sequence.push(slot);
			last.push(feed.sequence.length + i);
			soft.push(-1);
		}
		for (const { start, length } of feed.spans ?? []) {
			const end = start + length;
			last.fill(feed.sequence.length + end - 1, first + start, first + end);
			for (let t = first + start; t < first + end; t++) soft[t] = t;
		}
	}
	return { token, position, sequence, last, soft, output };
}

/** The soft tokens of a step, each with its first row in the step. */
export function softRows(
	feeds: readonly Feed[],
): { first: number; rows: Float32Array }[] {
	let first = 0;
	return feeds.flatMap(({ tokens, spans = [] }) => {
		const here = first;
		first += tokens.length;
		return spans.map(({ start, rows }) => ({ first: here + start, rows }));
	});
}
