// Inputs quantized to int8, for the integer kernels: groups of 32 columns c of one row, in the order in which they are read.
//
//   group:  Σ q[c], c mod 4 < 2 (i16) | Σ q[c], c mod 4 ≥ 2 (i16) | q[0 .. 32) | qb8 only: scale d (f32)
//   qb8:    group | group | …                  40 bytes per group; x ≈ d · q, |q| ≤ 127, d has f16's precision
//   qd8:    scale s (f32), zero point z (i32), Σ q of the row (i32), 4 bytes 0 | group | …
//                                                               16 + 36 bytes per group; x ≈ s · (q − z)
//
// A last group with fewer columns is filled up with zeros.

import { F32, QD8 } from "../types";
import { GROUP, ones, QB8_BYTES, QD8_BYTES, QD8_HEADER_BYTES, qd8RowBytes } from "../int8";
import { nearestInteger } from "../simd";

/**
 * Rows of x[rows, k] as qb8, k a multiple of 32: d = max |x| / 127 of the group, q = x / d rounded half away from zero; d is
 * rounded to f16 after that, as llama.cpp's Q8_0 does. Units are rows.
 */
export function quantize_f32_qb8(y: QD8, x: F32, k: i32, lo: i32, hi: i32): void {
  const groups = <usize>k / GROUP;
  const end = x + (<usize>hi * groups << 7);
  let to = y + <usize>lo * groups * QB8_BYTES;
  for (let from = x + (<usize>lo * groups << 7); from < end; from += 128) {
    let most = i32x4.splat(0);
    for (let $i = 0; $i < 8; $i++) most = i32x4.max_s(most, f32x4.abs(v128.load(from, 16 * $i)));
    const d = maxOfLanes(most) / 127;
    const inverse = f32x4.splat(d > 0 ? 1 / d : 0);
    for (let $i = 0; $i < 8; $i++) let q$i = roundHalfAway(f32x4.mul(v128.load(from, 16 * $i), inverse));
    storeGroup(to, q0, q1, q2, q3, q4, q5, q6, q7);
    store<f32>(to, toHalf(d), 36);
    to += QB8_BYTES;
  }
}

/**
 * Rows of x[rows, k] as qd8 with a zero point: s = (max − min) / 255 where max ≥ 0 ≥ min, at least 2^-23,
 * z = −128 − min / s and q = x / s + z, both rounded half to even and cut to −128 … 127. Units are rows.
 */
export function quantize_f32_qd8(y: QD8, x: F32, k: i32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const from = x + (<usize>t * <usize>k << 2);
    const least = minOf(from, k);
    const s = max<f32>((maxOf(from, k) - least) / 255, F32_EPSILON);
    const z = clamp(-128 - <i32>nearest<f32>(least / s));
    quantizeRow(y + <usize>t * qd8RowBytes(k), from, k, s, z, INVERSE);
  }
}

/** Rows of x[rows, k] as qd8 without a zero point: s = max |x| / 127.5, at least 2^-23, q = x / s rounded half to even and cut to −128 … 127. Units are rows. */
export function quantize_f32_qs8(y: QD8, x: F32, k: i32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const from = x + (<usize>t * <usize>k << 2);
    const s = max<f32>(magnitudeOf(from, k) / 127.5, F32_EPSILON);
    quantizeRow(y + <usize>t * qd8RowBytes(k), from, k, s, 0, DIVIDED);
  }
}

/**
 * Rows of x[rows, k] as qd8 with the scale s and the zero point z that all rows are given: q = x / s + z cut to −128 … 127,
 * then rounded half to even. Units are rows.
 */
export function quantize_static_f32_qd8(y: QD8, x: F32, k: i32, s: f32, z: i32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) quantizeRow(y + <usize>t * qd8RowBytes(k), x + (<usize>t * <usize>k << 2), k, s, z, GIVEN);
}

const F32_EPSILON: f32 = 1.1920928955078125e-7;

// How q = x / s + z is computed, which makes a difference close to a half.
/** x · (1 / s), rounded, plus z */
const INVERSE: i32 = 0;
/** x / s, rounded, plus z */
const DIVIDED: i32 = 1;
/** x / s + z, cut before it is rounded: s may be too small for x */
const GIVEN: i32 = 2;

/** Four q, not yet cut to −128 … 127. */
// @ts-ignore: decorator
@inline function codesOf(x: v128, by: v128, z: i32, how: i32): v128 {
  if (how == INVERSE) return i32x4.add(nearestInteger(f32x4.mul(x, by)), i32x4.splat(z));
  if (how == DIVIDED) return i32x4.add(nearestInteger(f32x4.div(x, by)), i32x4.splat(z));
  const exact = f32x4.add(f32x4.div(x, by), f32x4.splat(<f32>z));
  return nearestInteger(f32x4.pmin(f32x4.pmax(exact, f32x4.splat(-128)), f32x4.splat(127)));
}

// @ts-ignore: decorator
@inline function quantizeRow(y: usize, x: usize, k: i32, s: f32, z: i32, how: i32): void {
  store<f32>(y, s);
  store<i32>(y, z, 4);
  store<i32>(y, 0, 12);
  let to = y + QD8_HEADER_BYTES;
  const by = f32x4.splat(how == INVERSE ? 1 / s : s);
  let c = 0;
  for (; c + GROUP <= k; c += GROUP) {
    for (let $i = 0; $i < 8; $i++) let q$i = codesOf(v128.load(x, 16 * $i), by, z, how);
    storeGroup(to, q0, q1, q2, q3, q4, q5, q6, q7);
    x += 128;
    to += QD8_BYTES;
  }
  if (c < k) {
    store<i32>(to, 0);
    for (let i = 0; i < GROUP; i++, x += 4) {
      const q = c + i < k ? clamp(i32x4.extract_lane(codesOf(v128.load32_zero(x), by, z, how), 0)) : 0;
      store<i8>(to + i, <i8>q, 4);
      store<i16>(to + (i & 2), <i16>(load<i16>(to + (i & 2)) + q));
    }
  }
  let sum = i32x4.splat(0);
  for (let group = y + QD8_HEADER_BYTES, end = y + qd8RowBytes(k); group < end; group += QD8_BYTES) {
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load32_zero(group), ones()));
  }
  store<i32>(y, i32x4.extract_lane(sum, 0), 8);
}

/** Stores a group's 32 codes, cut to −128 … 127, with their two sums. */
// @ts-ignore: decorator
@inline function storeGroup(to: usize, q0: v128, q1: v128, q2: v128, q3: v128, q4: v128, q5: v128, q6: v128, q7: v128): void {
  const a = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(q0, q1), i16x8.narrow_i32x4_s(q2, q3));
  const b = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(q4, q5), i16x8.narrow_i32x4_s(q6, q7));
  v128.store(to, a, 4);
  v128.store(to, b, 20);
  // Pairs of columns, then the pairs with the same place in four columns.
  const pairs = i16x8.add(i16x8.extadd_pairwise_i8x16_s(a), i16x8.extadd_pairwise_i8x16_s(b));
  const twos = i16x8.add(pairs, v128.shuffle<i64>(pairs, pairs, 1, 0));
  v128.store32_lane(to, i16x8.add(twos, v128.shuffle<i32>(twos, twos, 1, 0, 3, 2)), 0);
}

// The sign bit; 0.5 − 2^-25; 1.5 · 2^23.
const ROUND: usize = memory.data<u32>(
  [0x80000000, 0x80000000, 0x80000000, 0x80000000, 0x3effffff, 0x3effffff, 0x3effffff, 0x3effffff, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000],
  16,
);

/**
 * Integers next to x, |x| < 2^22, halves away from zero: x plus the number below a half, cut off. The sum is rounded, and
 * reaches the next integer from exact halves on.
 */
// @ts-ignore: decorator
@inline function roundHalfAway(x: v128): v128 {
  const step = v128.or(v128.and(x, v128.load(ROUND)), v128.load(ROUND, 16));
  const whole = f32x4.trunc(f32x4.add(x, step));
  return i32x4.sub(f32x4.add(whole, v128.load(ROUND, 32)), v128.load(ROUND, 32));
}

/** x ≥ 0 rounded to f16's precision, half to even. Past f16's range it is rounded as if exponents went on. */
// @ts-ignore: decorator
@inline function toHalf(x: f32): f32 {
  if (x < 0.00006103515625) return x + 0.5 - 0.5; // below 2^-14 steps are 2^-24, as they are of f32 at 0.5
  const bits = reinterpret<u32>(x);
  return reinterpret<f32>((bits + 0x0fff + ((bits >> 13) & 1)) & 0xffffe000);
}

// @ts-ignore: decorator
@inline function clamp(q: i32): i32 {
  return min(max(q, -128), 127);
}

// The largest of many f32 is found among their bits, as integers: one instruction where f32x4.max is six, and NaN, beyond
// the infinities, is never lost.

/** Bits of x in an order of integers that is that of the numbers; its own inverse. */
// @ts-ignore: decorator
@inline function ordered(x: v128): v128 {
  return v128.xor(x, i32x4.shr_u(i32x4.shr_s(x, 31), 1));
}

/** The largest of four f32 that are 0 or more. */
// @ts-ignore: decorator
@inline function maxOfLanes(v: v128): f32 {
  const twos = i32x4.max_s(v, v128.shuffle<i64>(v, v, 1, 0));
  return f32x4.extract_lane(i32x4.max_s(twos, v128.shuffle<i32>(twos, twos, 1, 0, 3, 2)), 0);
}

/** The largest |x[c]|. */
function magnitudeOf(x: usize, k: i32): f32 {
  for (let $i = 0; $i < 2; $i++) let most$i = i32x4.splat(0);
  let c = 0;
  for (; c + 8 <= k; c += 8, x += 32) {
    for (let $i = 0; $i < 2; $i++) most$i = i32x4.max_s(most$i, f32x4.abs(v128.load(x, 16 * $i)));
  }
  for (; c < k; c++, x += 4) most0 = i32x4.max_s(most0, f32x4.abs(v128.load32_splat(x)));
  return maxOfLanes(i32x4.max_s(most0, most1));
}

/** The larger of 0 and every x[c]. */
function maxOf(x: usize, k: i32): f32 {
  let most = i32x4.splat(0);
  let c = 0;
  for (; c + 4 <= k; c += 4, x += 16) most = i32x4.max_s(most, ordered(v128.load(x)));
  for (; c < k; c++, x += 4) most = i32x4.max_s(most, ordered(v128.load32_splat(x)));
  return maxOfLanes(most);
}

/** The smaller of 0 and every x[c]. */
function minOf(x: usize, k: i32): f32 {
  let least = i32x4.splat(0);
  let c = 0;
  for (; c + 4 <= k; c += 4, x += 16) least = i32x4.min_s(least, ordered(v128.load(x)));
  for (; c < k; c++, x += 4) least = i32x4.min_s(least, ordered(v128.load32_splat(x)));
  return -maxOfLanes(f32x4.neg(ordered(least)));
}
