/** Positions in a page of keys and values: assembly/pages.ts has the diagram. */
export const PAGE_TOKENS = 64;
/** Rows of a unit of attention: units are ⌈rows / 32⌉ · kv heads. */
export const ATTENTION_ROWS = 32;

/** How keys and values are kept: exactly, as f16, or as int8 with one scale per position and head. */
export type CacheType = "f32" | "f16" | "i8";

const ELEMENT_BYTES = { f32: 4, f16: 2, i8: 1 } as const;

/** Bytes that one head of one layer takes in a page, for head size `d`. */
export function headBytes(type: CacheType, d: number): number {
	const padded = Math.ceil(d / 8) * 8;
	const scales = type === "i8" ? 2 * 4 * PAGE_TOKENS : 0;
	return PAGE_TOKENS * (d + padded) * ELEMENT_BYTES[type] + scales;
}
