import type { Engine, Feed } from "../engine/engine.ts";
import type { Sequence } from "../engine/pages.ts";
import type { Sampler } from "./sampler.ts";

/** Runs steps one at a time, in the order in which they are asked for, so that several texts can be generated at once. */
export type Stepper = (feeds: readonly Feed[]) => Promise<Float32Array[]>;

/** @param breathe lets timers and input have their turn after a step that ran on the calling thread */
export function createStepper(
	engine: Engine,
	breathe: () => Promise<void>,
): Stepper {
	let before: Promise<unknown> = Promise.resolve();
	return (feeds) => {
		const step = before.then(() => engine.step(feeds));
		const after = engine.parts === 1 ? step.then(breathe, breathe) : step;
		before = after.catch(() => {});
		return engine.parts === 1 ? after.then(() => step) : step;
	};
}

/**
 * Feeds tokens to a sequence in chunks and resolves to the logits of the last one. `signal` is looked at before each
 * chunk; it rejects with the signal's reason.
 */
export async function prefill(
	step: Stepper,
	sequence: Sequence,
	tokens: readonly number[],
	chunkTokens: number,
	signal?: AbortSignal,
): Promise<Float32Array> {
	for (let start = 0; ; start += chunkTokens) {
		signal?.throwIfAborted();
		const end = Math.min(start + chunkTokens, tokens.length);
		const isLast = end === tokens.length;
		const [logits] = await step([
			{ sequence, tokens: tokens.slice(start, end), outputs: isLast ? 1 : 0 },
		]);
		if (isLast) return logits!;
	}
}

/**
 * Yields token after token; the caller stops when it has enough. Each is fed back only when the next one is wanted.
 * @param ids prompt tokens, which the sequence holds; generated ones are appended
 */
export async function* decode(
	step: Stepper,
	sequence: Sequence,
	ids: number[],
	first: Float32Array,
	sampler: Sampler,
	signal?: AbortSignal,
): AsyncGenerator<number, void, undefined> {
	let logits = first;
	for (;;) {
		signal?.throwIfAborted();
		const next = sampler.next(logits, ids);
		const id = typeof next === "number" ? next : await next;
		ids.push(id);
		yield id;
		signal?.throwIfAborted();
		[logits] = (await step([{ sequence, tokens: [id], outputs: 1 }])) as [
			Float32Array,
		];
	}
}
