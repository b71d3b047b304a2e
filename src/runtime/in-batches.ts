/** Milliseconds of which everything goes together: half of what a display shows one picture for. */
const BATCH_MS = 8;

/**
 * Sends what comes often in batches, because a message costs as much for one as for many. What comes after a pause goes
 * at once, the rest waits for at most these few milliseconds, or for the next item where the thread computes until then.
 * @param send takes what has come since the last time, in order, at least one
 */
export function inBatches<Item>(send: (items: readonly Item[]) => void): {
	push(item: Item): void;
	/** Sends what is left. */
	flush(): void;
} {
	let held: Item[] = [];
	let sent = Number.NEGATIVE_INFINITY;
	let timer: ReturnType<typeof setTimeout> | undefined;
	const flush = () => {
		clearTimeout(timer);
		timer = undefined;
		if (held.length === 0) return;
		const items = held;
		held = [];
		sent = performance.now();
		send(items);
	};
	return {
		push(item) {
			held.push(item);
			const left = sent + BATCH_MS - performance.now();
			if (left <= 0) flush();
			else timer ??= setTimeout(flush, left);
		},
		flush,
	};
}
