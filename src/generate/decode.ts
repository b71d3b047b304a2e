import type { Engine, Feed, Span } from "../engine/engine.ts";
import type { Sequence } from "../engine/pages.ts";
import type { Sampler } from "./sampler.ts";

/** Does what it is given one after the other, in the order in which it is asked for, so that several texts can be generated at once. */
export type Turns = <R>(work: () => Promise<R>) => Promise<R>;

export type Stepper = (feeds: readonly Feed[]) => Promise<Float32Array[]>;

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
 * Feeds tokens to a sequence in chunks and resolves to the logits of the last one. `signal` is looked at before each
 * chunk; it rejects with the signal's reason.
 *
 * @param spans soft tokens in `tokens`, in order; none is longer than a chunk, and none is split
 */
export async function prefill(
	step: Stepper,
	sequence: Sequence,
	tokens: readonly number[],
	chunkTokens: number,
	signal?: AbortSignal,
	spans: readonly Span[] = [],
): Promise<Float32Array> {
	for (let start = 0; ; ) {
		signal?.throwIfAborted();
		const end = chunkEnd(start, tokens.length, chunkTokens, spans);
		const isLast = end === tokens.length;
		const [logits] = await step([
			{
				sequence,
				tokens: tokens.slice(start, end),
				spans: spans
					.filter((span) => span.start >= start && span.start < end)
					.map((span) => ({ ...span, start: span.start - start })),
				outputs: isLast ? 1 : 0,
			},
		]);
		if (isLast) return logits!;
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

/**
 * Yields token after token; the caller stops when it has enough. Each is fed back only when the next one is wanted.
 * @param ids prompt tokens, which the sequence holds; generated ones are appended
 * @param logits of the prompt's last token; those of later tokens are written over them
 */
export async function* decode(
	step: Stepper,
	sequence: Sequence,
	ids: number[],
	logits: Float32Array,
	sampler: Sampler,
	signal?: AbortSignal,
): AsyncGenerator<number, void, undefined> {
	for (;;) {
		signal?.throwIfAborted();
		const next = sampler.next(logits, ids);
		const id = typeof next === "number" ? next : await next;
		ids.push(id);
		yield id;
		signal?.throwIfAborted();
		// A fresh array of this size would be memory that the system has to clear first.
		await step([{ sequence, tokens: [id], outputs: 1, into: logits }]);
	}
}
