import { ContextError } from "../errors.ts";
import { PAGE_POSITIONS } from "./layouts.ts";
import type { Memory } from "./memory.ts";

/** Page tables hold addresses in multiples of this many bytes, counted from address 0. */
export const PAGE_UNIT_BYTES = 4096;

/** Layers with the same window: their keys and values of 64 positions are allocated, shared and freed together. */
export interface PageGroup {
	/** Tokens a query may look back; 0 is all. */
	readonly window: number;
	/** Bytes of one page per bank; 0 where the bank holds no layer of the group. */
	readonly bankBytes: readonly number[];
}

/** Room for 64 positions of one group: where it lies in each bank, and how many sequences use it. */
interface Page {
	readonly units: readonly number[];
	users: number;
}

/** Hands out pages. Memory is taken as it is needed and reused, never given back before the model is disposed. */
export class PagePool {
	readonly group: PageGroup;
	readonly #memories: readonly Memory[];
	readonly #free: Page[] = [];

	constructor(group: PageGroup, memories: readonly Memory[]) {
		this.group = group;
		this.#memories = memories;
	}

	take(): Page {
		const page = this.#free.pop() ?? {
			units: this.group.bankBytes.map((bytes, bank) =>
				bytes === 0
					? 0
					: Math.ceil(
							this.#memories[bank]!.allocate(
								bytes + PAGE_UNIT_BYTES,
								"keys and values",
							) / PAGE_UNIT_BYTES,
						),
			),
			users: 0,
		};
		page.users = 1;
		return page;
	}

	give(page: Page): void {
		if (--page.users === 0) this.#free.push(page);
	}
}

/** What a sequence may grow to, in all and in one step. */
export interface SequenceLimits {
	/** Positions, above which `reserve` throws. */
	readonly contextTokens: number;
	/** Positions that a step adds at most. */
	readonly rows: number;
}

const pageOf = (position: number): number =>
	Math.floor(position / PAGE_POSITIONS);

/**
 * The keys and values of one text: lists of pages, one list per group. Forking shares pages, truncating drops them,
 * and a group with a window frees the pages that have left it.
 */
export class Sequence {
	/** Positions written so far. */
	length = 0;
	readonly #pools: readonly PagePool[];
	readonly #limits: SequenceLimits;
	readonly #lists: (Page | undefined)[][];

	constructor(pools: readonly PagePool[], limits: SequenceLimits) {
		this.#pools = pools;
		this.#limits = limits;
		this.#lists = pools.map(() => []);
	}

	/** Whether the text can go on from its first `length` positions: a group with a window may have let go of some that the next one sees. */
	canTruncate(length: number): boolean {
		return this.#pools.every(({ group: { window } }, g) => {
			if (window === 0 || length === 0) return true;
			const first = Math.max(0, length - window + 1);
			return this.#lists[g]![pageOf(first)] !== undefined;
		});
	}

	/**
	 * Makes room for positions up to `length`. A group with a window keeps as many positions behind it as a step may add,
	 * and frees the pages before: it takes no more memory than its longest step needs, and after short steps, which is
	 * how answers come, there is a way back. Throws ContextError or EngineError.
	 */
	reserve(length: number): void {
		const { contextTokens, rows } = this.#limits;
		if (length > contextTokens)
			throw new ContextError(
				`the text needs ${length} tokens of context, the model was loaded with ${contextTokens}`,
			);
		for (const [g, pool] of this.#pools.entries()) {
			const list = this.#lists[g]!;
			const { window } = pool.group;
			if (window > 0) {
				const kept = pageOf(Math.max(0, length - rows - window));
				for (let p = kept - 1; p >= 0 && list[p] !== undefined; p--) {
					pool.give(list[p]!);
					list[p] = undefined;
				}
			}
			while (list.length * PAGE_POSITIONS < length) list.push(pool.take());
		}
	}

	/** Drops positions from `length` on, where `canTruncate` says so. */
	truncate(length: number): void {
		for (const [g, pool] of this.#pools.entries()) {
			const list = this.#lists[g]!;
			for (const page of list.splice(Math.ceil(length / PAGE_POSITIONS)))
				if (page) pool.give(page);
		}
		this.length = Math.min(this.length, length);
	}

	/** Writes page addresses of group `g` in bank `bank`, in units of PAGE_UNIT_BYTES, as attention reads them. */
	writeTable(g: number, bank: number, table: Int32Array): void {
		for (const [p, page] of this.#lists[g]!.entries())
			table[p] = page === undefined ? 0 : page.units[bank]!;
	}

	/** Gives all pages back. The sequence is empty afterwards and may be used again. */
	clear(): void {
		this.truncate(0);
	}
}
