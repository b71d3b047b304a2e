import { PAGE, padded } from "./pages";
import { exp, madd, sumOfLanes } from "./simd";

// Attention of some queries of one kv head over the 64 keys of a page, with the online softmax: after any number of
// keys a query holds m = max score, l = Σ e^(score − m), acc = Σ e^(score − m) · value, and y = acc / l.
//
// Queries go in blocks of 4. Whatever the block, every number is one chain of operations over channels (scores) or
// positions (values), so a query's bits depend on neither the queries beside it nor their number.
//
//   part      bytes               content, in a part's scratch memory
//   queries   QUERIES · 32        per query [l: 4 lanes][m][first visible position][end of them][e^(m before the last page − m)]
//   totals    QUERIES · 8         per query [m, l] of the segments merged so far
//   scores    4 · 64 · 4          of one block
//   q         QUERIES · d · 4     per block [d][4 queries]
//   acc       QUERIES · dp · 4    per block [dp / 8][4 queries][8], dp = d rounded up to 8
//   page      64 · (d + dp) · 4   keys and values of one head as f32, where a page holds something else

/** Queries that are attended to together; with it, scratch memory suffices for heads of up to 336. */
export const QUERIES: i32 = 128;

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

/** Where the keys of a page go that is not f32; its values follow. */
// @ts-ignore: decorator
@inline export function pageAt(scratch: usize, d: i32): usize {
  return accAt(scratch, d) + <usize>(QUERIES * padded(d)) * 4;
}

/** Begins a pass of so many queries. The idle places of its last block stay zero all through. */
export function openPass(scratch: usize, queries: i32, d: i32): void {
  if ((queries & 3) == 0) return;
  memory.fill(qAt(scratch) + <usize>((queries >> 2) * d) * 16, 0, <usize>d * 16);
  memory.fill(queryAt(scratch, queries & ~3), 0, 128);
}

/** Makes query i of a pass: d f32 at `q`, which sees positions [first, end). */
export function openQuery(scratch: usize, i: i32, q: usize, d: i32, first: i32, end: i32): void {
  const query = queryAt(scratch, i);
  store<i32>(query, first, 20);
  store<i32>(query, end, 24);
  const total = totalAt(scratch, i);
  store<f32>(total, -Infinity);
  store<f32>(total, 0, 4);
  let to = qAt(scratch) + <usize>((i >> 2) * d) * 16 + (<usize>(i & 3) << 2);
  for (const stop = q + (<usize>d << 2); q < stop; q += 4, to += 16) store<f32>(to, load<f32>(q));
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

/**
 * Adds the keys at positions [position, position + 64) to every query that sees some of them. `scales` has 64 f32 for
 * the keys and 64 for the values, or is 0. Keys and values that no query sees are never computed with.
 */
export function addPage(scratch: usize, queries: i32, position: i32, keys: usize, values: usize, scales: usize, d: i32, scale: f32): void {
  const panels = padded(d) >> 3;
  const scores = scoresAt(scratch);
  for (let i = 0; i < queries; i += 4) {
    const query = queryAt(scratch, i);
    const count = min(4, queries - i);
    let first = PAGE;
    let end = 0;
    for (let r = 0; r < count; r++) {
      const a = load<i32>(query + (<usize>r << 5), 20) - position;
      const b = load<i32>(query + (<usize>r << 5), 24) - position;
      if (a >= b) continue;
      first = min(first, max(a, 0));
      end = max(end, min(b, PAGE));
    }
    if (first >= end) continue;

    const q = qAt(scratch) + <usize>(i * d) * 4;
    if (count == 1) {
      for (let p = first & ~31; p < end; p += 32) scores1(scores + (<usize>p << 2), q, keys + <usize>(p * d) * 4, d);
    } else {
      for (let p = first & ~7; p < end; p += 8) scores4(scores + (<usize>p << 2), q, keys + <usize>(p * d) * 4, d);
    }

    for (let r = 0; r < count; r++) {
      const state = query + (<usize>r << 5);
      const a = max(load<i32>(state, 20) - position, 0);
      const b = min(load<i32>(state, 24) - position, PAGE);
      soften(scores + (<usize>r << 8), state, first, end, a, b, scales, scale);
    }

    const from = <usize>first << 5;
    const to = <usize>end << 5;
    let acc = accAt(scratch, d) + <usize>(i * panels) * 32;
    let v = values;
    if (count == 1) {
      let p = 0;
      for (; p + 4 <= panels; p += 4, acc += 512, v += 8192) values1x4(acc, query, scores + (<usize>first << 2), v, from, to);
      for (; p < panels; p++, acc += 128, v += 2048) values1(acc, query, scores + (<usize>first << 2), v, from, to);
    } else {
      for (let p = 0; p < panels; p++, acc += 128, v += 2048) values4(acc, query, scores + (<usize>first << 2), v, from, to);
    }
  }
}

/** to[r][0 … 7] = Σ_j q[j][r] · k[j], four queries and one panel of keys. */
function scores4(to: usize, q: usize, k: usize, d: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let e0 = a0;
  let e1 = a0;
  for (const end = k + (<usize>d << 5); k < end; k += 32, q += 16) {
    const k0 = v128.load(k);
    const k1 = v128.load(k, 16);
    const qa = v128.load32_splat(q);
    a0 = madd(qa, k0, a0);
    a1 = madd(qa, k1, a1);
    const qb = v128.load32_splat(q, 4);
    b0 = madd(qb, k0, b0);
    b1 = madd(qb, k1, b1);
    const qc = v128.load32_splat(q, 8);
    c0 = madd(qc, k0, c0);
    c1 = madd(qc, k1, c1);
    const qe = v128.load32_splat(q, 12);
    e0 = madd(qe, k0, e0);
    e1 = madd(qe, k1, e1);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 256);
  v128.store(to, b1, 272);
  v128.store(to, c0, 512);
  v128.store(to, c1, 528);
  v128.store(to, e0, 768);
  v128.store(to, e1, 784);
}

/** to[0 … 31] = Σ_j q[j][0] · k[j], one query and four panels of keys. */
function scores1(to: usize, q: usize, k: usize, d: i32): void {
  const panel = <usize>d << 5;
  const k2 = k + panel;
  const k4 = k2 + panel;
  const k6 = k4 + panel;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  for (let i: usize = 0; i < panel; i += 32, q += 16) {
    const x = v128.load32_splat(q);
    a0 = madd(x, v128.load(k + i), a0);
    a1 = madd(x, v128.load(k + i, 16), a1);
    a2 = madd(x, v128.load(k2 + i), a2);
    a3 = madd(x, v128.load(k2 + i, 16), a3);
    a4 = madd(x, v128.load(k4 + i), a4);
    a5 = madd(x, v128.load(k4 + i, 16), a5);
    a6 = madd(x, v128.load(k6 + i), a6);
    a7 = madd(x, v128.load(k6 + i, 16), a7);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, a2, 32);
  v128.store(to, a3, 48);
  v128.store(to, a4, 64);
  v128.store(to, a5, 80);
  v128.store(to, a6, 96);
  v128.store(to, a7, 112);
}

/**
 * Turns the scores of one query at positions [first, end) of a page into the weights e^(score · scale − m), 0 where it
 * does not see the position (outside [a, b)), and updates its m and l. Weights of i8 values include their scales.
 */
function soften(s: usize, state: usize, first: i32, end: i32, a: i32, b: i32, scales: usize, scale: f32): void {
  const from = <usize>(first & ~7) << 2;
  const to = <usize>((end + 7) & ~7) << 2;
  const factor = f32x4.splat(scale);
  const hidden = f32x4.splat(-Infinity);
  let largest = hidden;
  if (scales != 0) {
    for (let i = from; i < to; i += 16) v128.store(s + i, f32x4.mul(v128.load(s + i), v128.load(scales + i)));
  }
  if (a <= (first & ~7) && b >= ((end + 7) & ~7)) {
    for (let i = from; i < to; i += 16) {
      const x = f32x4.mul(v128.load(s + i), factor);
      v128.store(s + i, x);
      largest = f32x4.pmax(largest, x);
    }
  } else {
    const lanes = i32x4(0, 1, 2, 3);
    const firsts = i32x4.splat(a);
    const ends = i32x4.splat(b);
    for (let i = from; i < to; i += 16) {
      const at = i32x4.add(i32x4.splat(<i32>(i >> 2)), lanes);
      const seen = v128.and(i32x4.ge_s(at, firsts), i32x4.lt_s(at, ends));
      const x = v128.bitselect(f32x4.mul(v128.load(s + i), factor), hidden, seen);
      v128.store(s + i, x);
      largest = f32x4.pmax(largest, x);
    }
  }

  largest = f32x4.pmax(largest, i32x4.shuffle(largest, largest, 2, 3, 2, 3));
  largest = f32x4.pmax(largest, i32x4.shuffle(largest, largest, 1, 1, 1, 1));
  const before = load<f32>(state, 16);
  const found = f32x4.extract_lane(largest, 0);
  const m = found > before ? found : before;
  const shift = f32x4.splat(m == -Infinity ? 0 : m);
  let sum = f32x4.splat(0);
  for (let i = from; i < to; i += 16) {
    const e = exp(f32x4.sub(v128.load(s + i), shift));
    v128.store(s + i, e);
    sum = f32x4.add(sum, e);
  }
  const shrink = exp(f32x4.sub(f32x4.splat(before), shift));
  v128.store(state, f32x4.add(f32x4.mul(v128.load(state), shrink), sum));
  store<f32>(state, m, 16);
  store<f32>(state, f32x4.extract_lane(shrink, 0), 28);
  if (scales != 0) {
    for (let i = from; i < to; i += 16) v128.store(s + i, f32x4.mul(v128.load(s + i), v128.load(scales + i, 256)));
  }
}

/** acc[r] = acc[r] · shrink[r] + Σ_s p[r][s] · v[s] over the rows v + [from, to) of one panel of values, four queries. */
function values4(acc: usize, query: usize, p: usize, v: usize, from: usize, to: usize): void {
  const fa = v128.load32_splat(query, 28);
  let a0 = f32x4.mul(v128.load(acc), fa);
  let a1 = f32x4.mul(v128.load(acc, 16), fa);
  const fb = v128.load32_splat(query, 60);
  let b0 = f32x4.mul(v128.load(acc, 32), fb);
  let b1 = f32x4.mul(v128.load(acc, 48), fb);
  const fc = v128.load32_splat(query, 92);
  let c0 = f32x4.mul(v128.load(acc, 64), fc);
  let c1 = f32x4.mul(v128.load(acc, 80), fc);
  const fe = v128.load32_splat(query, 124);
  let e0 = f32x4.mul(v128.load(acc, 96), fe);
  let e1 = f32x4.mul(v128.load(acc, 112), fe);
  const end = v + to;
  for (v += from; v < end; v += 32, p += 4) {
    const v0 = v128.load(v);
    const v1 = v128.load(v, 16);
    const pa = v128.load32_splat(p);
    a0 = madd(pa, v0, a0);
    a1 = madd(pa, v1, a1);
    const pb = v128.load32_splat(p, 256);
    b0 = madd(pb, v0, b0);
    b1 = madd(pb, v1, b1);
    const pc = v128.load32_splat(p, 512);
    c0 = madd(pc, v0, c0);
    c1 = madd(pc, v1, c1);
    const pe = v128.load32_splat(p, 768);
    e0 = madd(pe, v0, e0);
    e1 = madd(pe, v1, e1);
  }
  v128.store(acc, a0);
  v128.store(acc, a1, 16);
  v128.store(acc, b0, 32);
  v128.store(acc, b1, 48);
  v128.store(acc, c0, 64);
  v128.store(acc, c1, 80);
  v128.store(acc, e0, 96);
  v128.store(acc, e1, 112);
}

/** The same for one query and four panels. */
function values1x4(acc: usize, query: usize, p: usize, v: usize, from: usize, to: usize): void {
  const f = v128.load32_splat(query, 28);
  let a0 = f32x4.mul(v128.load(acc), f);
  let a1 = f32x4.mul(v128.load(acc, 16), f);
  let a2 = f32x4.mul(v128.load(acc, 128), f);
  let a3 = f32x4.mul(v128.load(acc, 144), f);
  let a4 = f32x4.mul(v128.load(acc, 256), f);
  let a5 = f32x4.mul(v128.load(acc, 272), f);
  let a6 = f32x4.mul(v128.load(acc, 384), f);
  let a7 = f32x4.mul(v128.load(acc, 400), f);
  const end = v + to;
  for (v += from; v < end; v += 32, p += 4) {
    const x = v128.load32_splat(p);
    a0 = madd(x, v128.load(v), a0);
    a1 = madd(x, v128.load(v, 16), a1);
    a2 = madd(x, v128.load(v, 2048), a2);
    a3 = madd(x, v128.load(v, 2064), a3);
    a4 = madd(x, v128.load(v, 4096), a4);
    a5 = madd(x, v128.load(v, 4112), a5);
    a6 = madd(x, v128.load(v, 6144), a6);
    a7 = madd(x, v128.load(v, 6160), a7);
  }
  v128.store(acc, a0);
  v128.store(acc, a1, 16);
  v128.store(acc, a2, 128);
  v128.store(acc, a3, 144);
  v128.store(acc, a4, 256);
  v128.store(acc, a5, 272);
  v128.store(acc, a6, 384);
  v128.store(acc, a7, 400);
}

/** The same for one query and one panel. */
function values1(acc: usize, query: usize, p: usize, v: usize, from: usize, to: usize): void {
  const f = v128.load32_splat(query, 28);
  let a0 = f32x4.mul(v128.load(acc), f);
  let a1 = f32x4.mul(v128.load(acc, 16), f);
  const end = v + to;
  for (v += from; v < end; v += 32, p += 4) {
    const x = v128.load32_splat(p);
    a0 = madd(x, v128.load(v), a0);
    a1 = madd(x, v128.load(v, 16), a1);
  }
  v128.store(acc, a0);
  v128.store(acc, a1, 16);
}

/** The segment's numbers of query i as a record [m, l, 0, 0, acc]. */
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
 * Merges the m, l and acc of one segment into a total [m, l] and its accumulator y, in the order of segments. Panels of
 * acc lie `stride` bytes apart.
 */
export function merge(y: usize, total: usize, m: f32, l: f32, acc: usize, stride: usize, d: i32): void {
  if (m == -Infinity && l == 0) return; // nothing was seen; an l of NaN goes on to y
  const before = load<f32>(total);
  const after = m > before ? m : before;
  const keep = exp(f32x4.splat(before - after));
  const take = exp(f32x4.splat(m - after));
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
