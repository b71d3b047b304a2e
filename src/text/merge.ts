import { OptionError } from "../errors.ts";

/**
 * The rules by which two neighbouring symbols become one. A rule is a small integer that only the table understands;
 * of two rules that could apply, the one of lower rank applies first.
 */
export interface MergeRules {
	/** The rule for a pair of symbols, or -1 where the two never merge. */
	find(left: number, right: number): number;
	/** Integer in [0, 2²⁶). */
	rank(rule: number): number;
	/** The symbol that takes the place of the pair. */
	merged(rule: number): number;
}

/** Positions fit in 26 bits, so rank · 2²⁶ + position is exact in a double and one number orders the queue. */
const POSITIONS = 2 ** 26;

/**
 * Applies merge rules to a word until none applies: always the rule of lowest rank, and of equal ranks the leftmost.
 * A linked list of symbols and a heap of candidate pairs make this O(n log n), so a whole text may be one word.
 * Works in place and returns how many symbols remain at the front of `symbols`.
 */
export function mergeSymbols(symbols: Int32Array, rules: MergeRules): number {
	const length = symbols.length;
	if (length < 2) return length;
	if (length >= POSITIONS) {
		throw new OptionError(
			`the text holds a run of ${length} characters that has to be tokenized in one piece, expected fewer than ${POSITIONS}`,
		);
	}
	// Position p stands for the symbol that starts there; −1 and `length` are the ends of the list.
	const next = new Int32Array(length);
	const previous = new Int32Array(length);
	const candidate = new Int32Array(length);
	const heap: number[] = [];

	const consider = (position: number) => {
		const right = next[position] as number;
		const rule =
			right < length
				? rules.find(symbols[position] as number, symbols[right] as number)
				: -1;
		candidate[position] = rule;
		if (rule >= 0) push(heap, rules.rank(rule) * POSITIONS + position);
	};

	for (let p = 0; p < length; p++) {
		next[p] = p + 1;
		previous[p] = p - 1;
	}
	for (let p = 0; p < length; p++) consider(p);

	while (heap.length > 0) {
		const key = pop(heap);
		const position = key % POSITIONS;
		const rule = candidate[position] as number;
		// A candidate is stale once either of its symbols has merged with another one.
		if (rule < 0 || rules.rank(rule) !== (key - position) / POSITIONS) continue;

		const right = next[position] as number;
		const after = next[right] as number;
		symbols[position] = rules.merged(rule);
		candidate[right] = -1;
		next[position] = after;
		if (after < length) previous[after] = position;
		consider(position);
		const before = previous[position] as number;
		if (before >= 0) consider(before);
	}

	let count = 0;
	for (let p = 0; p < length; p = next[p] as number) {
		symbols[count++] = symbols[p] as number;
	}
	return count;
}

/** Slots of 12 bytes. Common text repeats a few thousand pairs. */
const REMEMBERED_PAIRS = 2 ** 16;

/** `find`, remembering what it found for the pairs that occur most. Symbols must be below 2²⁶. */
export function remembering(
	find: (left: number, right: number) => number,
): (left: number, right: number) => number {
	const keys = new Float64Array(REMEMBERED_PAIRS).fill(-1);
	const found = new Int32Array(REMEMBERED_PAIRS);
	return (left, right) => {
		const key = left * 2 ** 26 + right;
		const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
		const slot = (mixed ^ (mixed >>> 15)) & (REMEMBERED_PAIRS - 1);
		if (keys[slot] !== key) {
			found[slot] = find(left, right);
			keys[slot] = key;
		}
		return found[slot] as number;
	};
}

function push(heap: number[], key: number): void {
	let child = heap.length;
	heap.push(key);
	while (child > 0) {
		const parent = (child - 1) >> 1;
		const above = heap[parent] as number;
		if (above <= key) break;
		heap[child] = above;
		child = parent;
	}
	heap[child] = key;
}

function pop(heap: number[]): number {
	const top = heap[0] as number;
	const key = heap.pop() as number;
	const length = heap.length;
	if (length === 0) return top;
	let parent = 0;
	for (;;) {
		let child = 2 * parent + 1;
		if (child >= length) break;
		const sibling = child + 1;
		if (
			sibling < length &&
			(heap[sibling] as number) < (heap[child] as number)
		) {
			child = sibling;
		}
		if ((heap[child] as number) >= key) break;
		heap[parent] = heap[child] as number;
		parent = child;
	}
	heap[parent] = key;
	return top;
}
