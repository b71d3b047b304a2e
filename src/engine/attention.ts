import { UnsupportedError } from "../errors.ts";
import {
	ATTENTION_FULL_TILE,
	ATTENTION_MAX_GROUP,
	ATTENTION_MAX_HEAD,
	ATTENTION_PARTIAL_TILE,
	ATTENTION_TILE,
	type CacheType,
} from "./layouts.ts";
import {
	type AttentionOptions,
	type Buffer,
	type Cache,
	type Dim,
	T,
	type Tensor,
} from "./operands.ts";
import type { Units } from "./program.ts";
import type { Recorder } from "./recorder.ts";
import { perRow, tensor } from "./tensors.ts";

/** How a program keeps keys and values, and reads them. */
export interface Caching {
	readonly type: CacheType;
	/** How many segments the context is cut into, so that several parts share the keys of one row; 0 for none. */
	readonly segments: number;
}

/** q [T, H, d], k and v [T, K, d] → [T, H·d]: appends k, v to the cache, then softmax(q·kᵀ·scale)·v over it. */
export function recordAttention(
	recorder: Recorder,
	{ type, segments }: Caching,
	[q, k, v]: readonly [Tensor, Tensor, Tensor],
	{ cache: index, window = 0, scale }: AttentionOptions,
): { readonly y: Tensor; readonly cache: Cache } {
	const [, heads, d] = q.shape as [Dim, number, number];
	const kvHeads = k.shape[1] as number;
	checkHead(d);
	if (heads % kvHeads !== 0 || heads > kvHeads * ATTENTION_MAX_GROUP)
		throw new UnsupportedError(
			`${heads} query heads on ${kvHeads} kv heads, expected a multiple of them up to ${ATTENTION_MAX_GROUP} times as many`,
		);
	const { bank } = k.buffer;
	const cache: Cache = { index, bank, kvHeads, d, window };
	const pages = {
		kv: cache,
		table: { table: "pages", window },
		sequence: { table: "sequence" },
		position: { table: "position" },
		kv_heads: kvHeads,
		d,
		pages: 0,
		page_bytes: 0,
	} as const;
	recorder.record(
		`kv_write_${type}`,
		cache,
		{ ...pages, k: k.buffer, v: recorder.into(v.buffer, bank) },
		perRow(k.buffer, kvHeads),
	);
	const y = tensor([T, heads * d], bank);
	const seen = {
		...pages,
		q: recorder.into(q.buffer, bank),
		last: { table: "last" },
		rows: "rows",
		heads,
		scale: scale ?? 1 / Math.sqrt(d),
		window,
		scratch: "scratch",
	} as const;
	const tiles = (rows: number, times: number): Units => ({
		register: "rows",
		per: rows,
		times: kvHeads * times,
	});
	if (segments === 0) {
		recorder.record(
			`attention_${type}`,
			y.buffer,
			{ ...seen, y: y.buffer },
			tiles(ATTENTION_TILE, 1),
		);
		return { y, cache };
	}
	const partial: Buffer = {
		bank,
		register: "rows",
		rowBytes: heads * segments * partialBytes(d),
	};
	recorder.record(
		`attention_partial_${type}`,
		partial,
		{ ...seen, partial, segments },
		tiles(ATTENTION_PARTIAL_TILE, segments),
	);
	recorder.record(
		"attention_merge_f32",
		y.buffer,
		{
			y: y.buffer,
			partial,
			position: { table: "position" },
			last: { table: "last" },
			heads,
			d,
			window,
			segments,
			scratch: "scratch",
		},
		perRow(y.buffer, heads),
	);
	return { y, cache };
}

/** q, k and v [T, H, d] → [T, H·d]: softmax(q·kᵀ/√d)·v, every row of the step seeing every row. */
export function recordFullAttention(
	recorder: Recorder,
	q: Tensor,
	k: Tensor,
	v: Tensor,
): Tensor {
	const [, heads, d] = q.shape as [Dim, number, number];
	checkHead(d);
	const { bank } = k.buffer;
	const y = tensor([T, heads * d], bank);
	recorder.record(
		"attention_full_f32",
		y.buffer,
		{
			y: y.buffer,
			q: recorder.into(q.buffer, bank),
			k: k.buffer,
			v: recorder.into(v.buffer, bank),
			rows: "rows",
			heads,
			d,
			scale: 1 / Math.sqrt(d),
			scratch: "scratch",
		},
		{ register: "rows", per: ATTENTION_FULL_TILE, times: heads },
	);
	return y;
}

function checkHead(d: number): void {
	if (d > ATTENTION_MAX_HEAD)
		throw new UnsupportedError(
			`heads of ${d} elements, expected at most ${ATTENTION_MAX_HEAD}`,
		);
}

/** Bytes of one row's, head's and segment's share of a softmax: maximum, sum, two unused and the weighted values. */
const partialBytes = (d: number): number => 4 * (4 + Math.ceil(d / 16) * 16);
