import type { Engine, Span } from "../engine/engine.ts";
import type { Sequence } from "../engine/pages.ts";

/** Does what it is given one after the other, in the order in which it is asked for, so that several texts can be generated at once. */
export type Turns = <R>(work: () => Promise<R>) => Promise<R>;

export type Stepper = Engine["step"];

/** @param breathe lets timers and input have their turn after work that ran on the calling thread */
export function createTurns(
	engine: Engine,
	breathe: () => Promise<void>,
): Turns {
	let before: Promise<unknown> = Promise.resolve();
	return (work) => {
		const step = before.then(work);
		const after = engine.parts === 1 ? step.then(breathe, breathe) : step;
		before = after.catch(() => {});
		return engine.parts === 1 ? after.then(() => step) : step;
	};
}

/**
 * Feeds tokens to a sequence in chunks and resolves to what `take` makes of the logits of the last one. `signal` is
 * looked at before each chunk; it rejects with the signal's reason.
 *
 * @param spans soft tokens in `tokens`, in order; none is longer than a chunk, and none is split
 */
export async function prefill<Taken>(
	step: Stepper,
	sequence: Sequence,
	tokens: readonly number[],
	chunkTokens: number,
	take: (logits: Float32Array) => Taken,
	signal?: AbortSignal,
	spans: readonly Span[] = [],
): Promise<Taken> {
	for (let start = 0; ; ) {
		signal?.throwIfAborted();
		const end = chunkEnd(start, tokens.length, chunkTokens, spans);
		const feed = {
			sequence,
			tokens: tokens.slice(start, end),
			spans: spans
				.filter((span) => span.start >= start && span.start < end)
				.map((span) => ({ ...span, start: span.start - start })),
		};
		if (end === tokens.length)
			return step([{ ...feed, outputs: 1 }], ([logits]) => take(logits!));
		await step([{ ...feed, outputs: 0 }], () => {});
		start = end;
	}
}

/** The end of a chunk that begins at `start`: before soft tokens that do not fit in. */
function chunkEnd(
	start: number,
	length: number,
	chunkTokens: number,
	spans: readonly Span[],
): number {
	const end = Math.min(start + chunkTokens, length);
	const split = spans.find((s) => s.start < end && s.start + s.length > end);
	return split?.start ?? end;
}

/** A token, or a promise of one, in a box: a promise of it does not make the engine wait for what other texts could use. */
export interface Choice {
	readonly next: number | Promise<number>;
}

/**
 * Yields token after token; the caller stops when it has enough. Each is fed back only when the next one is wanted.
 * @param ids prompt tokens, which the sequence holds; generated ones are appended
 * @param first the token after them
 * @param choose chooses the token after `ids` by its logits
 */
export async function* decode(
	step: Stepper,
	sequence: Sequence,
	ids: number[],
	first: Choice,
	choose: (logits: Float32Array) => Choice,
	signal?: AbortSignal,
): AsyncGenerator<number, void, undefined> {
	for (let choice = first; ; ) {
		signal?.throwIfAborted();
		const { next } = choice;
		const id = typeof next === "number" ? next : await next;
		ids.push(id);
		yield id;
		signal?.throwIfAborted();
		choice = await step([{ sequence, tokens: [id], outputs: 1 }], ([logits]) =>
			choose(logits!),
		);
	}
}
