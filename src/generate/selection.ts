/** Moves the entry at `at` down a binary heap until no child comes before it. */
function siftDown(
	heap: Int32Array | Float32Array,
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

/**
 * Gathers s / T of what is not -∞ (NaN included), so that what follows a top-k touches k numbers and not a vocabulary.
 * The result lies in memory that the next call takes again.
 */
export function createGather(
	vocabularySize: number,
	temperature = 1,
): (scores: Float32Array) => Candidates {
	const ids = new Int32Array(vocabularySize);
	const gathered = new Float32Array(vocabularySize);
	return (scores) => {
		let count = 0;
		for (let i = 0; i < scores.length; i++) {
			const score = Math.fround(scores[i]! / temperature);
			ids[count] = i;
			gathered[count] = score;
			if (score !== Number.NEGATIVE_INFINITY) count++;
		}
		return {
			ids: ids.subarray(0, count),
			scores: gathered.subarray(0, count),
		};
	};
}

/** Those of the candidates that are at these indices, given in any order. */
export function pick(
	{ ids, scores }: Candidates,
	indices: ArrayLike<number>,
): Candidates {
	const ascending = Int32Array.from(indices).sort();
	return {
		ids: ascending.map((i) => ids[i]!),
		scores: Float32Array.from(ascending, (i) => scores[i]!),
	};
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

/**
 * Indices of the k largest scores, 1 ≤ k ≤ n, and of all that equal the least of them; of what is not a number in any
 * case. Keeps a heap of the k best so far: one comparison for most of a vocabulary.
 */
export function largest(scores: Float32Array, k: number): number[] {
	const less = (a: number, b: number) => a < b;
	// In ascending order it is a heap.
	const best = scores.slice(0, k).sort();
	const found = Array.from(best.keys());
	let threshold = best[0]!;
	for (let i = k; i < scores.length; i++) {
		const score = scores[i]!;
		if (score < threshold) continue;
		found.push(i);
		if (score === threshold) continue;
		best[0] = score;
		siftDown(best, k, 0, less);
		threshold = best[0];
	}
	return found.filter((i) => !(scores[i]! < best[0]!));
}
