import { headElements, PAGE, padded } from "./pages";
import { gain, scores1, scores2, scores4, unpack, values1, values2, values4 } from "./panels";
import { exp2, madd, sumOfLanes } from "./simd";

// Attention of some queries of one kv head, page of keys after page, with the online softmax: after any number of keys a
// query holds m = max score, l = Σ 2^(score − m), acc = Σ 2^(score − m) · value, and y = acc / l. Scores are in units of
// log 2: scale includes log2 e.
//
// Queries go in blocks of 4. A query's bits depend on neither the queries beside it nor their number: a page that only
// its neighbours see multiplies its numbers by 1 and adds 0.
//
//   part      bytes               content, in a part's scratch memory
//   queries   QUERIES · 32        per query [l: 4 lanes][m][first visible position][end of them][2^(m before the page − m)]
//   totals    QUERIES · 8         per query [m, l] of the segments merged so far
//   scores    4 · 64 · 4          of one block
//   q         QUERIES · d · 4     per block [d][4 queries]
//   acc       QUERIES · dp · 4    per block [dp / 8][4 queries][8], dp = d rounded up to 16
//   page      64 · (d + dp) · 4   keys and values of one head as f32, where a page holds something else

/** Queries that are attended to together; with it, scratch memory suffices for heads of up to 336. */
export const QUERIES: i32 = 128;
/** Up to this many queries read a page's elements as they are; for more it pays to make f32 of them first. */
const DIRECT: i32 = 8;

export const LOG2E: f32 = 1.44269504;

// @ts-ignore: decorator
@inline function queryAt(scratch: usize, i: i32): usize {
  return scratch + (<usize>i << 5);
}

// @ts-ignore: decorator
@inline function totalAt(scratch: usize, i: i32): usize {
  return scratch + <usize>QUERIES * 32 + (<usize>i << 3);
}

// @ts-ignore: decorator
@inline function scoresAt(scratch: usize): usize {
  return scratch + <usize>QUERIES * 40;
}

// @ts-ignore: decorator
@inline function qAt(scratch: usize): usize {
  return scoresAt(scratch) + 1024;
}

// @ts-ignore: decorator
@inline function accAt(scratch: usize, d: i32): usize {
  return qAt(scratch) + <usize>(QUERIES * d) * 4;
}

/** Where a pass may keep one head of a page as f32. */
// @ts-ignore: decorator
@inline function pageAt(scratch: usize, d: i32): usize {
  return accAt(scratch, d) + <usize>(QUERIES * padded(d)) * 4;
}

/** Begins a pass of so many queries. The idle places of its last block stay zero all through. */
export function openPass(scratch: usize, queries: i32, d: i32): void {
  if ((queries & 3) == 0) return;
  memory.fill(qAt(scratch) + <usize>((queries >> 2) * d) * 16, 0, <usize>d * 16);
  memory.fill(queryAt(scratch, queries & ~3), 0, 128);
}

/** Makes query i of a pass over elements W: d f32 at `q`, which sees positions [first, end). */
export function openQuery<W>(scratch: usize, i: i32, q: usize, d: i32, first: i32, end: i32): void {
  const query = queryAt(scratch, i);
  store<i32>(query, first, 20);
  store<i32>(query, end, 24);
  const total = totalAt(scratch, i);
  store<f32>(total, -Infinity);
  store<f32>(total, 0, 4);
  let to = qAt(scratch) + <usize>((i >> 2) * d) * 16 + (<usize>(i & 3) << 2);
  for (const stop = q + (<usize>d << 2); q < stop; q += 4, to += 16) store<f32>(to, load<f32>(q) * gain<W>());
}

/** Forgets all keys. */
export function openSegment(scratch: usize, queries: i32, d: i32): void {
  for (let i = 0; i < queries; i++) {
    const query = queryAt(scratch, i);
    v128.store(query, f32x4.splat(0));
    store<f32>(query, -Infinity, 16);
  }
  const blocks = (queries + 3) >> 2;
  memory.fill(accAt(scratch, d), 0, <usize>(blocks * padded(d)) * 16);
}

/** Adds the keys at positions [position, position + 64), one head of a page, to every query that sees some of them. */
export function addHead<W>(scratch: usize, queries: i32, position: i32, head: usize, d: i32, scale: f32): void {
  const scales = sizeof<W>() == 1 ? head + <usize>headElements(d) : 0;
  if (sizeof<W>() == 4 || queries <= DIRECT) {
    addKeys<W>(scratch, queries, position, head, scales, gain<W>(), d, scale);
  } else {
    unpack<W>(pageAt(scratch, d), head, headElements(d));
    addKeys<f32>(scratch, queries, position, pageAt(scratch, d), scales, gain<W>(), d, scale);
  }
}

/** `scales` has 64 f32 for keys and 64 for values, or is 0. What no query sees is never computed with. */
function addKeys<W>(scratch: usize, queries: i32, position: i32, keys: usize, scales: usize, weight: f32, d: i32, scale: f32): void {
  const scores = scoresAt(scratch);
  for (let i = 0; i < queries; i += 4) {
    const block = queryAt(scratch, i);
    const count = min(4, queries - i);
    let first = PAGE;
    let end = 0;
    for (let r = 0; r < count; r++) {
      const query = block + (<usize>r << 5);
      const a = load<i32>(query, 20) - position;
      const b = load<i32>(query, 24) - position;
      if (a >= b) continue;
      first = min(first, max(a, 0));
      end = max(end, min(b, PAGE));
    }
    if (first >= end) continue;

    const q = qAt(scratch) + <usize>(i * d) * 4;
    if (count > 2) {
      for (let s = first & ~7; s < end; s += 8) scores4<W>(scores + (<usize>s << 2), q, keys + <usize>((s & ~15) * d + (s & 8)) * sizeof<W>(), d);
    } else {
      for (let s = first & ~15; s < end; s += 16) {
        const k = keys + <usize>(s * d) * sizeof<W>();
        if (count == 2) scores2<W>(scores + (<usize>s << 2), q, k, d);
        else scores1<W>(scores + (<usize>s << 2), q, k, d);
      }
    }

    for (let r = 0; r < count; r++) {
      const query = block + (<usize>r << 5);
      const a = max(load<i32>(query, 20) - position, 0);
      const b = min(load<i32>(query, 24) - position, PAGE);
      soften(scores + (<usize>r << 8), query, first, end, a, b, scales, weight, scale);
    }

    const p = scores + (<usize>first << 2);
    const values = keys + <usize>(PAGE * d + first * 16) * sizeof<W>();
    const acc = accAt(scratch, d) + <usize>(i * padded(d)) * 4;
    if (count > 2) {
      for (let j = 0; j < d; j += 8) values4<W>(acc + (<usize>j << 4), block + 28, p, values + <usize>((j & ~15) * PAGE + (j & 8)) * sizeof<W>(), end - first);
    } else {
      for (let j = 0; j < d; j += 16) {
        const v = values + <usize>(j * PAGE) * sizeof<W>();
        if (count == 2) values2<W>(acc + (<usize>j << 4), block + 28, p, v, end - first);
        else values1<W>(acc + (<usize>j << 4), block + 28, p, v, end - first);
      }
    }
  }
}

/**
 * Turns the scores of one query at positions [first, end) of a page into weights 2^(score · scale − m), 0 where it does not
 * see the position (outside [a, b)), and updates its m and l. Weights come multiplied by `weight` and the scales of i8 values.
 */
function soften(s: usize, query: usize, first: i32, end: i32, a: i32, b: i32, scales: usize, weight: f32, scale: f32): void {
  const from = <usize>(first & ~7) << 2;
  const to = <usize>((end + 7) & ~7) << 2;
  const hidden = f32x4.splat(-Infinity);
  if (scales != 0) {
    for (let i = from; i < to; i += 16) v128.store(s + i, f32x4.mul(v128.load(s + i), v128.load(scales + i)));
  }
  if (a > (first & ~7) || b < ((end + 7) & ~7)) {
    const lanes = i32x4(0, 1, 2, 3);
    const firsts = i32x4.splat(a);
    const ends = i32x4.splat(b);
    for (let i = from; i < to; i += 16) {
      const at = i32x4.add(i32x4.splat(<i32>(i >> 2)), lanes);
      const seen = v128.and(i32x4.ge_s(at, firsts), i32x4.lt_s(at, ends));
      v128.store(s + i, v128.bitselect(v128.load(s + i), hidden, seen));
    }
  }

  let high0 = hidden;
  let high1 = hidden;
  for (let i = from; i < to; i += 32) {
    high0 = f32x4.pmax(high0, v128.load(s + i));
    high1 = f32x4.pmax(high1, v128.load(s + i, 16));
  }
  let high = f32x4.pmax(high0, high1);
  high = f32x4.pmax(high, i32x4.shuffle(high, high, 2, 3, 2, 3));
  high = f32x4.pmax(high, i32x4.shuffle(high, high, 1, 1, 1, 1));
  const before = load<f32>(query, 16);
  const found = f32x4.extract_lane(high, 0) * scale;
  const m = found > before ? found : before;
  const factor = f32x4.splat(scale);
  const shift = f32x4.splat(m == -Infinity ? 0 : -m);

  let sum0 = f32x4.splat(0);
  let sum1 = sum0;
  const factors = f32x4.splat(weight);
  for (let i = from; i < to; i += 32) {
    const e0 = exp2(madd(v128.load(s + i), factor, shift));
    const e1 = exp2(madd(v128.load(s + i, 16), factor, shift));
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
    v128.store(s + i, f32x4.mul(e0, factors));
    v128.store(s + i, f32x4.mul(e1, factors), 16);
  }
  const shrink = exp2(f32x4.add(f32x4.splat(before), shift));
  v128.store(query, f32x4.add(f32x4.mul(v128.load(query), shrink), f32x4.add(sum0, sum1)));
  store<f32>(query, m, 16);
  store<f32>(query, f32x4.extract_lane(shrink, 0), 28);
  if (scales != 0) {
    for (let i = from; i < to; i += 16) v128.store(s + i, f32x4.mul(v128.load(s + i), v128.load(scales + i, 256)));
  }
}

/** The segment's numbers of query i as a record [m, l, 0, 0, acc: dp]. */
export function closeInto(record: usize, scratch: usize, i: i32, d: i32): void {
  const query = queryAt(scratch, i);
  v128.store(record, f32x4(load<f32>(query, 16), sumOfLanes(v128.load(query)), 0, 0));
  let acc = accOf(scratch, i, d);
  for (const end = acc + (<usize>padded(d) << 4); acc < end; acc += 128, record += 32) {
    v128.store(record, v128.load(acc), 16);
    v128.store(record, v128.load(acc, 16), 32);
  }
}

/** Merges the segment into the total of query i, whose accumulator is its row of y. */
export function closeSegment(y: usize, scratch: usize, i: i32, d: i32): void {
  const query = queryAt(scratch, i);
  merge(y, totalAt(scratch, i), load<f32>(query, 16), sumOfLanes(v128.load(query)), accOf(scratch, i, d), 128, d);
}

/** y becomes the weighted mean, 0 where no key was seen. */
export function closeQuery(y: usize, scratch: usize, i: i32, d: i32): void {
  finish(y, load<f32>(totalAt(scratch, i), 4), d);
}

// @ts-ignore: decorator
@inline function accOf(scratch: usize, i: i32, d: i32): usize {
  return accAt(scratch, d) + <usize>((i >> 2) * padded(d)) * 16 + (<usize>(i & 3) << 5);
}

/**
 * Merges m, l and acc of one segment into a total [m, l] and its accumulator y, in the order of segments. Every 8 elements
 * of acc are `stride` bytes on.
 */
export function merge(y: usize, total: usize, m: f32, l: f32, acc: usize, stride: usize, d: i32): void {
  if (m == -Infinity && l == 0) return; // nothing was seen; an l of NaN goes on to y
  const before = load<f32>(total);
  const after = m > before ? m : before;
  const keep = exp2(f32x4.splat(before - after));
  const take = exp2(f32x4.splat(m - after));
  store<f32>(total, after);
  store<f32>(total, load<f32>(total, 4) * f32x4.extract_lane(keep, 0) + l * f32x4.extract_lane(take, 0), 4);
  const fresh = before == -Infinity; // y holds nothing yet
  const end = y + (<usize>d << 2);
  for (; y + 32 <= end; y += 32, acc += stride) {
    v128.store(y, blend(v128.load(y), keep, v128.load(acc), take, fresh));
    v128.store(y, blend(v128.load(y, 16), keep, v128.load(acc, 16), take, fresh), 16);
  }
  for (; y < end; y += 4, acc += 4) {
    v128.store_lane<f32>(y, blend(v128.load32_splat(y), keep, v128.load32_splat(acc), take, fresh), 0);
  }
}

// @ts-ignore: decorator
@inline function blend(y: v128, keep: v128, acc: v128, take: v128, fresh: bool): v128 {
  const taken = f32x4.mul(acc, take);
  return fresh ? taken : madd(y, keep, taken);
}

/** Divides an accumulator by its l. */
export function finish(y: usize, l: f32, d: i32): void {
  const end = y + (<usize>d << 2);
  if (l == 0) {
    memory.fill(y, 0, end - y);
    return;
  }
  const divisor = f32x4.splat(l);
  for (; y + 16 <= end; y += 16) v128.store(y, f32x4.div(v128.load(y), divisor));
  for (; y < end; y += 4) store<f32>(y, load<f32>(y) / l);
}

/** The host's factor of q · k as these loops want it. */
// @ts-ignore: decorator
@inline export function inBinary(scale: f32): f32 {
  return scale * LOG2E;
}
