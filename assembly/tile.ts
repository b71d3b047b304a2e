// What the kernels of all weight layouts share.
//
// A packed matrix [n, k] is cut into tiles of 16 rows; a tile lies in memory in the order in which a kernel reads it, and
// rows past n are zeros. A tile is 4 vectors of 4 rows wide: vector v, lane r is row 4v + r. Halves 0 and 1 are rows 0-7
// and 8-15. Sixteen-bit values of 8 rows share one vector: 32-bit lane r holds row r below and row 4 + r above.
//
// A tile's 16 results per input row are computed with the same operations in the same order whether one row is computed
// (GEMV) or many (GEMM), so that a row's bits do not depend on its neighbours.

import { F32Or0 } from "./types";

/** Weight rows per tile. */
export const ROWS: i32 = 16;

/** Bytes of 16 f32 results. */
export const RESULT_BYTES: usize = 64;

/** f[0 .. 16) = 0 */
// @ts-ignore: decorator
@inline export function clear(f: usize): void {
  const zero = f32x4.splat(0);
  for (let $v = 0; $v < 4; $v++) v128.store(f, zero, 16 * $v);
}

/** y[t, j .. min(j + 16, n)) = residual + (bias + f[0 .. 16)), for `rows` rows from row t of y on; f is overwritten. */
export function finish(y: usize, f: usize, bias: F32Or0, residual: F32Or0, t: i32, rows: i32, j: i32, n: i32): void {
  const rowBytes = <usize>n << 2;
  const end = f + <usize>rows * RESULT_BYTES;
  const bytes = min<usize>(RESULT_BYTES, <usize>(n - j) << 2);
  let at = <usize>t * rowBytes + (<usize>j << 2);
  if (bias != 0) {
    for (let sums = f; sums < end; sums += RESULT_BYTES) {
      for (let i: usize = 0; i < bytes; i += 4) store<f32>(sums + i, load<f32>(bias + (<usize>j << 2) + i) + load<f32>(sums + i));
    }
  }
  for (; f < end; f += RESULT_BYTES, at += rowBytes) {
    if (bytes < RESULT_BYTES) {
      for (let i: usize = 0; i < bytes; i += 4) store<f32>(y + at + i, residual != 0 ? load<f32>(residual + at + i) + load<f32>(f + i) : load<f32>(f + i));
    } else if (residual != 0) {
      for (let $v = 0; $v < 4; $v++) v128.store(y + at, f32x4.add(v128.load(residual + at, 16 * $v), v128.load(f, 16 * $v)), 16 * $v);
    } else {
      for (let $v = 0; $v < 4; $v++) v128.store(y + at, v128.load(f, 16 * $v), 16 * $v);
    }
  }
}

// Constant vectors live in memory: V8 rebuilds a v128.const in three instructions at every use, a load is one.
const HALF: usize = memory.data<u32>(
  [
    0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000, // sign, and where f16's exponent and mantissa land 13 bits up
    0x77800000, 0x77800000, 0x77800000, 0x77800000, // 2^112 as f32: the difference of the two exponent biases
    0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000,
    0x00002000, 0x00002000, 0x00002000, 0x00002000, // 2^13 for the lower 16 bits
  ],
  16,
);

/** Where the bits of an f16 land in an f32. */
// @ts-ignore: decorator
@inline export function halfBits(): v128 {
  return v128.load(HALF);
}

/** What moves the lower f16 of a lane to where the upper one lies after a shift by 3. */
// @ts-ignore: decorator
@inline export function lowerHalf(): v128 {
  return v128.load(HALF, 48);
}

/** Where the bits of a bf16 land in an f32. */
// @ts-ignore: decorator
@inline export function brainBits(): v128 {
  return v128.load(HALF, 32);
}

/**
 * The lower 16 bits of each 32-bit lane, an f16, as f32 · 2^-112: sign and magnitude move to f32's places, `bits`, by a
 * product with `lowerHalf`, which is one instruction for two shifts. Exact: where the f16 is denormal, so is this.
 */
// @ts-ignore: decorator
@inline export function lowerBits(v: v128, lowerHalf: v128, bits: v128): v128 {
  return v128.and(i32x4.dot_i16x8_s(v, lowerHalf), bits);
}

/** The same of the upper 16 bits. */
// @ts-ignore: decorator
@inline export function upperBits(v: v128, bits: v128): v128 {
  return v128.and(i32x4.shr_s(v, 3), bits);
}

/** The lower 16 bits of each 32-bit lane as f32. T is u16 for f16 and i16 for bf16. */
// @ts-ignore: decorator
@inline export function lower<T>(v: v128): v128 {
  if (isSigned<T>()) return i32x4.shl(v, 16);
  return f32x4.mul(v128.and(i32x4.shr_s(i32x4.shl(v, 16), 3), halfBits()), v128.load(HALF, 16));
}

/** The upper 16 bits of each 32-bit lane as f32. */
// @ts-ignore: decorator
@inline export function upper<T>(v: v128): v128 {
  if (isSigned<T>()) return v128.and(v, brainBits());
  return f32x4.mul(upperBits(v, halfBits()), v128.load(HALF, 16));
}

/** One f16 (T = u16) or bf16 (T = i16) as f32. */
// @ts-ignore: decorator
@inline export function half<T>(at: usize): f32 {
  return f32x4.extract_lane(lower<T>(i32x4.splat(load<u16>(at))), 0);
}

/** Where row r's 16-bit value lies among 16 of them, in bytes. */
// @ts-ignore: decorator
@inline export function halfAt(r: i32): usize {
  return <usize>(((r & 8) << 1) | ((r & 3) << 2) | ((r & 4) >> 1));
}

/** Stores the columns of the 4 × 4 matrix of 32-bit lanes whose rows are a, b, c and d, `step` bytes apart. */
// @ts-ignore: decorator
@inline export function storeTransposed(to: usize, step: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab01 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const ab23 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd01 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const cd23 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(ab01, cd01, 0, 2));
  v128.store(to + step, v128.shuffle<i64>(ab01, cd01, 1, 3));
  v128.store(to + 2 * step, v128.shuffle<i64>(ab23, cd23, 0, 2));
  v128.store(to + 3 * step, v128.shuffle<i64>(ab23, cd23, 1, 3));
}
