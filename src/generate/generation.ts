/**
 * Something that is being generated: read it part by part with `for await`, or wait for all of it with `await`.
 * Nothing runs before one of the two is done. Leaving the loop early ends the generation, and the result then holds
 * what there was. Several readers get the same parts, each from the first.
 */
export class Generation<Part, Result>
	implements AsyncIterable<Part>, PromiseLike<Result>
{
	readonly #run: (
		emit: (part: Part) => void,
		left: AbortSignal,
	) => Promise<Result>;
	readonly #left = new AbortController();
	readonly #parts: Part[] = [];
	#result: Promise<Result> | undefined;
	#settled = false;
	#wake: (() => void)[] = [];

	/** @param run does the work; `left` fires when a reader leaves early, and `run` should then resolve soon. */
	constructor(
		run: (emit: (part: Part) => void, left: AbortSignal) => Promise<Result>,
	) {
		this.#run = run;
	}

	#start(): Promise<Result> {
		if (this.#result) return this.#result;
		const emit = (part: Part) => {
			this.#parts.push(part);
			this.#wakeReaders();
		};
		this.#result = this.#run(emit, this.#left.signal).finally(() => {
			this.#settled = true;
			this.#wakeReaders();
		});
		// A reader of parts gets the error from its loop; without `await` nobody else would handle it.
		this.#result.catch(() => {});
		return this.#result;
	}

	#wakeReaders(): void {
		const wake = this.#wake;
		this.#wake = [];
		for (const resume of wake) resume();
	}

	// biome-ignore lint/suspicious/noThenProperty: being awaitable is the purpose
	then<A = Result, B = never>(
		onResult?: ((result: Result) => A | PromiseLike<A>) | null,
		onError?: ((error: unknown) => B | PromiseLike<B>) | null,
	): Promise<A | B> {
		return this.#start().then(onResult, onError);
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<Part, void, undefined> {
		const result = this.#start();
		try {
			for (let next = 0; ; ) {
				while (next < this.#parts.length) yield this.#parts[next++]!;
				if (this.#settled) break;
				await new Promise<void>((resume) => this.#wake.push(resume));
			}
			await result;
		} finally {
			if (!this.#settled) this.#left.abort();
		}
	}
}
