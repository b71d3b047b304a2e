/** Moves the entry at `at` down a binary heap of ids until no child comes before it. */
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

function heapify(
	heap: Int32Array,
	before: (a: number, b: number) => boolean,
): void {
	for (let i = (heap.length >> 1) - 1; i >= 0; i--)
		siftDown(heap, heap.length, i, before);
}

/** Ids whose score is not -∞, ascending. */
export function survivors(scores: Float32Array): Int32Array {
	let count = 0;
	for (let i = 0; i < scores.length; i++)
		if (scores[i]! > Number.NEGATIVE_INFINITY) count++;
	const ids = new Int32Array(count);
	for (let i = 0, n = 0; n < count; i++)
		if (scores[i]! > Number.NEGATIVE_INFINITY) ids[n++] = i;
	return ids;
}

/**
 * Takes ids one by one in descending order of `keys[id]`, equal keys by ascending id; -1 when there are none left.
 * Costs O(n) to start and O(log n) per id taken, so the tail of a vocabulary is never sorted. Reuses `ids`.
 */
export function descending(
	ids: Int32Array,
	keys: Float32Array | Float64Array,
): () => number {
	const before = (a: number, b: number) =>
		keys[a]! > keys[b]! || (keys[a]! === keys[b]! && a < b);
	heapify(ids, before);
	let size = ids.length;
	return () => {
		if (size === 0) return -1;
		const first = ids[0]!;
		ids[0] = ids[--size]!;
		siftDown(ids, size, 0, before);
		return first;
	};
}

/** The k-th largest score, 1 ≤ k ≤ V, with a heap of the k best so far: one comparison for most of a vocabulary. */
export function kthLargest(scores: Float32Array, k: number): number {
	const worse = (a: number, b: number) => scores[a]! < scores[b]!;
	const best = Int32Array.from({ length: k }, (_, i) => i);
	heapify(best, worse);
	let threshold = scores[best[0]!]!;
	for (let i = k; i < scores.length; i++) {
		if (scores[i]! <= threshold) continue;
		best[0] = i;
		siftDown(best, k, 0, worse);
		threshold = scores[best[0]!]!;
	}
	return threshold;
}
