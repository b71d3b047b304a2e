/** Moves the entry at `at` down a binary heap until no child comes before it. */
function siftDown(
	heap: Int32Array,
	size: number,
	at: number,
	before: (a: number, b: number) => boolean,
): void {
	const moving = heap[at]!;
	for (let i = at; ; ) {
		let child = 2 * i + 1;
		if (child + 1 < size && before(heap[child + 1]!, heap[child]!)) child++;
		if (child >= size || !before(heap[child]!, moving)) {
			heap[i] = moving;
			return;
		}
		heap[i] = heap[child]!;
		i = child;
	}
}

/** A heap of 0 … size − 1. */
function heapOf(
	size: number,
	before: (a: number, b: number) => boolean,
): Int32Array {
	const heap = new Int32Array(size);
	for (let i = 0; i < size; i++) heap[i] = i;
	for (let i = (size >> 1) - 1; i >= 0; i--) siftDown(heap, size, i, before);
	return heap;
}

/** The tokens that can still be chosen. */
export interface Candidates {
	/** Ascending. */
	readonly ids: Int32Array;
	/** f32[ids.length], none of them -∞. */
	readonly scores: Float32Array;
}

/** Gathers what is not -∞ (NaN included), so that what follows a top-k touches k numbers and not a vocabulary. */
export function candidates(scores: Float32Array): Candidates {
	let count = 0;
	for (let i = 0; i < scores.length; i++)
		if (scores[i] !== Number.NEGATIVE_INFINITY) count++;
	const ids = new Int32Array(count);
	const kept = new Float32Array(count);
	for (let i = 0, n = 0; n < count; i++) {
		if (scores[i] === Number.NEGATIVE_INFINITY) continue;
		kept[n] = scores[i]!;
		ids[n++] = i;
	}
	return { ids, scores: kept };
}

/**
 * Takes indices one by one in descending order of keys, equal keys by ascending index; -1 when there are none left.
 * Costs O(n) to start and O(log n) per index taken, so the tail of a vocabulary is never sorted.
 */
export function descending(keys: Float32Array | Float64Array): () => number {
	const before = (a: number, b: number) =>
		keys[a]! > keys[b]! || (keys[a]! === keys[b]! && a < b);
	const heap = heapOf(keys.length, before);
	let size = heap.length;
	return () => {
		if (size === 0) return -1;
		const first = heap[0]!;
		heap[0] = heap[--size]!;
		siftDown(heap, size, 0, before);
		return first;
	};
}

/** The k-th largest score, 1 ≤ k ≤ V, with a heap of the k best so far: one comparison for most of a vocabulary. */
export function kthLargest(scores: Float32Array, k: number): number {
	const worse = (a: number, b: number) => scores[a]! < scores[b]!;
	const best = heapOf(k, worse);
	let threshold = scores[best[0]!]!;
	for (let i = k; i < scores.length; i++) {
		if (scores[i]! <= threshold) continue;
		best[0] = i;
		siftDown(best, k, 0, worse);
		threshold = scores[best[0]!]!;
	}
	return threshold;
}
