/** Milliseconds of work after which others have their turn: half of what a display shows one picture for. */
const WORK_MS = 8;

/**
 * Lets others have their turn when they have waited for some milliseconds, and goes on at once before. A turn costs as
 * much as choosing a token, and the steps of a small model take no longer than these few milliseconds.
 * @param turn resolves after everything that waits on this thread
 */
export function nowAndThen(turn: () => Promise<void>): () => Promise<void> {
	let last = Number.NEGATIVE_INFINITY;
	return async () => {
		if (performance.now() - last < WORK_MS) return;
		await turn();
		last = performance.now();
	};
}

/** Messages come back after what already waits, and unlike timers are not slowed down when they follow each other. */
export function messageTurns(): () => Promise<void> {
	const { port1, port2 } = new MessageChannel();
	let [from, to] = [port1, port2];
	for (const port of [from, to]) port.start();
	return () =>
		new Promise((resolve) => {
			// Without a listener a port does not keep Node alive.
			to.addEventListener("message", () => resolve(), { once: true });
			from.postMessage(undefined);
			// What a listener has posted to its own port, Node delivers before anything else.
			[from, to] = [to, from];
		});
}
