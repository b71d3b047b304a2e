import { F32, I32, KV, Scratch } from "../types";
import { addHead, closeInto, closeQuery, closeSegment, finish, inBinary, merge, openPass, openQuery, openSegment, QUERIES } from "../attend";
import { headBytes, PAGE, padded, pageOf } from "../pages";

// y[t, h] = Σ_s softmax_s(q[t, h] · k[s, h / group] · scale) · v[s, h / group], group = heads / kv_heads.
//
//   keys of a row      |····page····|····page····| … |····page····|     64 positions each, ../pages.ts
//                      |------------ segment ------------|----- …       256 positions: 4 pages
//   inside a segment   online softmax, page after page (../attend.ts)
//   between segments   totals merged in order
//
// Row t sees the keys of its own sequence at positions (position[t] − window, last[t]], or [0, last[t]] where window is
// 0; every position up to last[t] must have been written. A row that sees nothing is zero. Segments begin at fixed
// positions, so the one-pass kernels and the pair partial + merge run through the same operations: equal bits.

// Units count tiles of rows from the last one down: in a prompt it sees the most keys, and parts that begin with the
// longest ranges end together.

/** Rows of a unit of the one-pass kernels: units are ⌈rows / 32⌉ · kv_heads. ATTENTION_TILE in src/engine/layouts.ts. */
const TILE: i32 = 32;
/** Rows of a unit of the partial kernels: units are ⌈rows / 4⌉ · kv_heads · segments. ATTENTION_PARTIAL_TILE there. */
const PARTIAL_TILE: i32 = 4;
/** Positions of a segment. ATTENTION_SEGMENT there. */
const SEGMENT: i32 = 256;

/** Attention over pages of f32. Units are tiles of 32 rows × kv heads. */
export function attention_f32(y: F32, q: F32, kv: KV, table: I32, sequence: I32, position: I32, last: I32, rows: i32, heads: i32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, scale: f32, window: i32, scratch: Scratch, lo: i32, hi: i32): void {
  attention<f32>(y, 0, q, kv, table, sequence, position, last, rows, heads, kv_heads, d, pages, page_bytes, scale, window, scratch, TILE, 0, lo, hi);
}

/** Attention over pages of f16. Units are tiles of 32 rows × kv heads. */
export function attention_f16(y: F32, q: F32, kv: KV, table: I32, sequence: I32, position: I32, last: I32, rows: i32, heads: i32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, scale: f32, window: i32, scratch: Scratch, lo: i32, hi: i32): void {
  attention<u16>(y, 0, q, kv, table, sequence, position, last, rows, heads, kv_heads, d, pages, page_bytes, scale, window, scratch, TILE, 0, lo, hi);
}

/** Attention over pages of i8. Units are tiles of 32 rows × kv heads. */
export function attention_i8(y: F32, q: F32, kv: KV, table: I32, sequence: I32, position: I32, last: I32, rows: i32, heads: i32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, scale: f32, window: i32, scratch: Scratch, lo: i32, hi: i32): void {
  attention<i8>(y, 0, q, kv, table, sequence, position, last, rows, heads, kv_heads, d, pages, page_bytes, scale, window, scratch, TILE, 0, lo, hi);
}

/**
 * The first half of attention for few rows: partial[t, h, s] = [m · log2 e, l, 0, 0, acc: dp f32] of segment s, dp = d
 * rounded up to 16, over pages of f32. Segments that row t does not see are left as they are. Units are tiles of 4 rows × kv heads ×
 * segments, so that one row of a long context is work for many parts.
 */
export function attention_partial_f32(partial: F32, q: F32, kv: KV, table: I32, sequence: I32, position: I32, last: I32, rows: i32, heads: i32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, scale: f32, window: i32, segments: i32, scratch: Scratch, lo: i32, hi: i32): void {
  attention<f32>(0, partial, q, kv, table, sequence, position, last, rows, heads, kv_heads, d, pages, page_bytes, scale, window, scratch, PARTIAL_TILE, segments, lo, hi);
}

/** attention_partial_f32 over pages of f16. */
export function attention_partial_f16(partial: F32, q: F32, kv: KV, table: I32, sequence: I32, position: I32, last: I32, rows: i32, heads: i32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, scale: f32, window: i32, segments: i32, scratch: Scratch, lo: i32, hi: i32): void {
  attention<u16>(0, partial, q, kv, table, sequence, position, last, rows, heads, kv_heads, d, pages, page_bytes, scale, window, scratch, PARTIAL_TILE, segments, lo, hi);
}

/** attention_partial_f32 over pages of i8. */
export function attention_partial_i8(partial: F32, q: F32, kv: KV, table: I32, sequence: I32, position: I32, last: I32, rows: i32, heads: i32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, scale: f32, window: i32, segments: i32, scratch: Scratch, lo: i32, hi: i32): void {
  attention<i8>(0, partial, q, kv, table, sequence, position, last, rows, heads, kv_heads, d, pages, page_bytes, scale, window, scratch, PARTIAL_TILE, segments, lo, hi);
}

/** The second half: y[t, h] from the partial[t, h] of the segments that row t sees. Units are heads of rows: rows · heads. */
export function attention_merge_f32(y: F32, partial: F32, position: I32, last: I32, heads: i32, d: i32, window: i32, segments: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const record = <usize>(padded(d) + 4) << 2;
  for (let u = lo; u < hi; u++) {
    const t = u / heads;
    const to = y + (<usize>u * <usize>d << 2);
    const end = endOf(last, t);
    store<f32>(scratch, -Infinity);
    store<f32>(scratch, 0, 4);
    for (let s = firstOf(position, t, window) / SEGMENT; s * SEGMENT < end; s++) {
      const from = partial + (<usize>u * <usize>segments + <usize>s) * record;
      merge(to, scratch, load<f32>(from), load<f32>(from, 4), from + 16, 32, d);
    }
    finish(to, load<f32>(scratch, 4), d);
  }
}

/** Offset in q and y of query i of a pass that begins at row t: row by row, and in a row the heads that share a kv head. */
// @ts-ignore: decorator
@inline function rowOf(t: i32, head: i32, group: i32, i: i32, heads: i32, d: i32): usize {
  return <usize>((t + i / group) * heads + head * group + i % group) * <usize>d << 2;
}

/** First position that row t sees. */
// @ts-ignore: decorator
@inline function firstOf(position: usize, t: i32, window: i32): i32 {
  return window == 0 ? 0 : max(load<i32>(position + (<usize>t << 2)) - window + 1, 0);
}

/** One past the last position that row t sees. */
// @ts-ignore: decorator
@inline function endOf(last: usize, t: i32): i32 {
  return load<i32>(last + (<usize>t << 2)) + 1;
}

/** All of the above that reads pages: `segments` is 0 in one pass (into y), else a unit does one segment (into partial). */
function attention<W>(y: usize, partial: usize, q: usize, kv: usize, table: usize, sequence: usize, position: usize, last: usize, rows: i32, heads: i32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, scale: f32, window: i32, scratch: usize, tile: i32, segments: i32, lo: i32, hi: i32): void {
  const group = heads / kv_heads;
  const step = max(QUERIES / group, 1);
  const record = <usize>(padded(d) + 4) << 2;
  const tiles = (rows + tile - 1) / tile;
  for (let u = lo; u < hi; u++) {
    const segment = segments == 0 ? 0 : u % segments;
    const unit = segments == 0 ? u : u / segments;
    const head = unit % kv_heads;
    const start = (tiles - 1 - unit / kv_heads) * tile;
    const stop = min(start + tile, rows);
    for (let t = start; t < stop; ) {
      // A pass: the next rows that share a sequence.
      const owner = load<i32>(sequence + (<usize>t << 2));
      let first = firstOf(position, t, window);
      let end = endOf(last, t);
      let count = 1;
      while (count < step && t + count < stop && load<i32>(sequence + (<usize>(t + count) << 2)) == owner) {
        first = min(first, firstOf(position, t + count, window));
        end = max(end, endOf(last, t + count));
        count++;
      }
      const queries = count * group;
      if (segments != 0) {
        first = max(first, segment * SEGMENT);
        end = min(end, (segment + 1) * SEGMENT);
      }
      if (segments == 0 || first < end) {
        openPass(scratch, queries, d);
        for (let i = 0; i < queries; i++) {
          const row = t + i / group;
          openQuery<W>(scratch, i, q + rowOf(t, head, group, i, heads, d), d, firstOf(position, row, window), endOf(last, row));
        }
      }
      for (let from = first & ~(SEGMENT - 1); from < end; from += SEGMENT) {
        openSegment(scratch, queries, d);
        const to = min(end, from + SEGMENT);
        for (let at = max(first, from) & ~(PAGE - 1); at < to; at += PAGE) {
          addHead<W>(scratch, queries, at, pageOf(kv, table, owner, at, pages, page_bytes) + <usize>head * headBytes<W>(d), d, inBinary(scale));
        }
        for (let i = 0; i < queries; i++) {
          const row = t + i / group;
          if (segments == 0) closeSegment(y + rowOf(t, head, group, i, heads, d), scratch, i, d);
          else if (firstOf(position, row, window) < to && endOf(last, row) > from) {
            const at = <usize>(row * heads + head * group + i % group) * <usize>segments + <usize>segment;
            closeInto(partial + at * record, scratch, i, d);
          }
        }
      }
      if (segments == 0) {
        for (let i = 0; i < queries; i++) closeQuery(y + rowOf(t, head, group, i, heads, d), scratch, i, d);
      }
      t += count;
    }
  }
}
