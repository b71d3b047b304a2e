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

/**
 * The keys and values of one text: lists of pages, one list per group. Forking shares pages, truncating drops them,
 * and a group with a window frees the pages that have left it.
 */
export class Sequence {
	/** Positions written so far. */
	length = 0;
	readonly #pools: readonly PagePool[];
	readonly #maximum: number;
	readonly #lists: (Page | undefined)[][];

	/** @param maximum tokens of context, above which `reserve` throws */
	constructor(pools: readonly PagePool[], maximum: number) {
		this.#pools = pools;
		this.#maximum = maximum;
		this.#lists = pools.map(() => []);
	}

	/** Whether positions can be dropped again: a group with a window has already let go of what that would need. */
	get canTruncate(): boolean {
		return this.#pools.every((pool) => pool.group.window === 0);
	}

	/** Makes room for positions up to `length` and frees pages that no later position can see. Throws ContextError or EngineError. */
	reserve(length: number): void {
		if (length > this.#maximum)
			throw new ContextError(
				`the text needs ${length} tokens of context, the model was loaded with ${this.#maximum}`,
			);
		for (const [g, pool] of this.#pools.entries()) {
			const list = this.#lists[g]!;
			const { window } = pool.group;
			if (window > 0) {
				const visible = Math.floor(
					Math.max(0, this.length - window) / PAGE_POSITIONS,
				);
				for (let p = visible - 1; p >= 0 && list[p] !== undefined; p--) {
					pool.give(list[p]!);
					list[p] = undefined;
				}
			}
			while (list.length * PAGE_POSITIONS < length) list.push(pool.take());
		}
	}

	/** Drops positions from `length` on. */
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
