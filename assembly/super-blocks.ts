// Weights in blocks of 256 columns with small integer scales for groups of 16 or 32 columns, which one or two f16 per block
// turn into numbers: GGUF's K types and what resembles them.
//
//   w = d · s[g] · (code − zero) − dmin · m[g]
//   Σ x · w = dx · (d · Σ_g s[g] · Σ x · (code − zero) − dmin · Σ_g m[g] · Σ x)        x ≈ dx · integer, qk8
//
// All sums over a block are exact in 32 bits. A block then adds two rounded products to its row's result, dmin's first, in
// every kernel alike.
//
// One input row: a layout's own kernel reads its tiles as they are. More rows: a block of a tile is opened in scratch memory,
// where it stays in the first cache while all rows go over it.
//
//   scratch:       results, 16 f32 per input row | integer sums, 16 per input row | opened block | inputs, where they are widened
//   opened block:  d | dmin: f32, rows 0-15 each
//                  scales: i32, rows 0-15 of group 0 | group 1 | … of 16 groups at most
//                  minimums: i16, those of groups 2i and 2i + 1 side by side, rows 0-15 | … of 8 pairs at most
//                  codes as int8.ts has them, group of 32 columns after group

import { F32Or0 } from "./types";
import { blockSum, dot, dot32, SPARE_ROWS, storeWide, WIDE_BYTES, widen } from "./int8";
import { finish, lower, RESULT_BYTES, ROWS, upper } from "./tile";

/** Columns of a block. */
export const BLOCK_COLUMNS: i32 = 256;

/** Bytes of a block of inputs, where its groups start, and theirs. */
export const QK8_BYTES: usize = 308;
export const GROUPS_AT: usize = 20;
export const QK8_GROUP_BYTES: usize = 36;

// Offsets in an opened block.
const D: usize = 0;
const DMIN: usize = 64;
const SCALES: usize = 128;
const MINIMUMS: usize = SCALES + 16 * 64;
const CODES: usize = MINIMUMS + 8 * 64;

/** Input rows that go over a block. */
const MAX_ROWS: i32 = 256;
const SUMS: usize = <usize>(MAX_ROWS + SPARE_ROWS) * RESULT_BYTES;
const OPENED: usize = 2 * SUMS;
const INPUTS: usize = OPENED + CODES + 8192;
/** What is left of 512 KiB of scratch memory. */
const INPUT_BYTES: usize = 524288 - INPUTS;

/** f[0 .. 16) += the sums of one input row over `blocks` blocks of a tile. */
export type MultiplyRow = (f: usize, tile: usize, x: usize, blocks: i32) => void;

/** Opens a block of a tile. */
export type Open = (opened: usize, block: usize) => void;

/**
 * x is qk8, k a multiple of 256: y = residual + (bias + Σ x · w). `columns` are those of a group, 16 or 32; `minimums` says
 * whether there are any.
 */
export function gemmSuperBlocks(y: usize, x: usize, w: usize, blockBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: usize, lo: i32, hi: i32, columns: i32, zero: i32, minimums: bool, one: MultiplyRow, open: Open): void {
  const blocks = k / BLOCK_COLUMNS;
  const rowBytes = <usize>blocks * QK8_BYTES;
  const wideBytes = <usize>blocks * 8 * WIDE_BYTES;
  const most = ASC_FEATURE_RELAXED_SIMD ? MAX_ROWS : min(MAX_ROWS, <i32>(INPUT_BYTES / wideBytes));
  for (let t = 0; t < rows; t += most) {
    const count = min(most, rows - t);
    const from = x + <usize>t * rowBytes;
    if (!ASC_FEATURE_RELAXED_SIMD && rows > 1) {
      for (let i = 0; i < count; i++) {
        const to = scratch + INPUTS + <usize>i * wideBytes;
        for (let b: usize = 0; b < <usize>blocks; b++) widen(to + b * 8 * WIDE_BYTES, from + <usize>i * rowBytes + b * QK8_BYTES + GROUPS_AT, 0, QK8_GROUP_BYTES, 1, 8);
      }
    }
    memory.fill(scratch + SUMS, 0, <usize>count * RESULT_BYTES);
    for (let j = lo; j < hi; j += ROWS) {
      const tile = w + <usize>(j / ROWS) * <usize>blocks * blockBytes;
      memory.fill(scratch, 0, <usize>count * RESULT_BYTES);
      if (rows == 1) one(scratch, tile, x, blocks);
      for (let b = 0; b < blocks && rows > 1; b++) {
        const input = from + <usize>b * QK8_BYTES;
        open(scratch + OPENED, tile + <usize>b * blockBytes);
        if (ASC_FEATURE_RELAXED_SIMD) multiply(columns, scratch + SUMS, scratch + OPENED, zero, input + GROUPS_AT, rowBytes, count);
        else multiply(columns, scratch + SUMS, scratch + OPENED, zero, scratch + INPUTS + <usize>b * 8 * WIDE_BYTES, wideBytes, count);
        for (let i = 0; i < count; i++) {
          const at = <usize>i * RESULT_BYTES;
          closeBlock(scratch + at, scratch + SUMS + at, scratch + OPENED, input + <usize>i * rowBytes, columns, minimums);
        }
      }
      for (let i = 0; i < count; i++) finish(y, scratch + <usize>i * RESULT_BYTES, bias, residual, t + i, j, n);
    }
  }
}

/** f + d · dx · sums: what a block's scaled integers add to its rows' results. */
// @ts-ignore: decorator
@inline export function blockResult(sums: v128, d: v128, dx: v128, f: v128): v128 {
  return blockSum(sums, f32x4.mul(d, dx), f);
}

/** f − dmin · dx · sums: what a block's minimums take from them. */
// @ts-ignore: decorator
@inline export function blockMinimum(sums: v128, dmin: v128, dx: v128, f: v128): v128 {
  return blockSum(sums, f32x4.neg(f32x4.mul(dmin, dx)), f);
}

/** Adds the integer sums of one input row to its results, and clears them. */
// @ts-ignore: decorator
@inline function closeBlock(f: usize, sums: usize, opened: usize, x: usize, columns: i32, minimums: bool): void {
  const dx = v128.load32_splat(x);
  for (let v: usize = 0; v < 64; v += 16) {
    let result = v128.load(f + v);
    if (minimums) {
      let least = i32x4.splat(0);
      const m = opened + MINIMUMS + v;
      if (columns == 32) {
        for (let i: usize = 0; i < 4; i++) least = i32x4.add(least, i32x4.dot_i16x8_s(v128.load(m + (i << 6)), v128.load32_splat(x + (i << 2), 4)));
      } else {
        for (let i: usize = 0; i < 8; i++) least = i32x4.add(least, i32x4.dot_i16x8_s(v128.load(m + (i << 6)), v128.load32_splat(x + GROUPS_AT + i * QK8_GROUP_BYTES)));
      }
      result = blockMinimum(least, v128.load(opened + DMIN + v), dx, result);
    }
    v128.store(f + v, blockResult(v128.load(sums + v), v128.load(opened + D + v), dx, result));
    v128.store(sums + v, i32x4.splat(0));
  }
}

/** Opens 16 f16 as d. */
// @ts-ignore: decorator
@inline export function openD(opened: usize, packed: usize): void {
  openHalves(opened + D, packed);
}

/** Opens 16 f16 as dmin. */
// @ts-ignore: decorator
@inline export function openDmin(opened: usize, packed: usize): void {
  openHalves(opened + DMIN, packed);
}

// @ts-ignore: decorator
@inline function openHalves(to: usize, packed: usize): void {
  for (let $v = 0; $v < 4; $v++) v128.store(to, halves(packed, $v), 16 * $v);
}

/** Packed f16 of rows 4v to 4v + 3 as f32. */
// @ts-ignore: decorator
@inline export function halves(packed: usize, v: i32): v128 {
  const pair = v128.load(packed + (<usize>(v >> 1) << 4));
  return v & 1 ? upper<u16>(pair) : lower<u16>(pair);
}

/** Opens the scales of group g: signed bytes, rows 0-15. */
// @ts-ignore: decorator
@inline export function openScales(opened: usize, g: i32, scales: v128): void {
  const to = opened + SCALES + (<usize>g << 6);
  for (let $v = 0; $v < 4; $v++) v128.store(to, scalesOf(scales, $v), 16 * $v);
}

/** Scales of rows 4v to 4v + 3 of 16 signed bytes. */
// @ts-ignore: decorator
@inline export function scalesOf(scales: v128, v: i32): v128 {
  const eight = v < 2 ? i16x8.extend_low_i8x16_s(scales) : i16x8.extend_high_i8x16_s(scales);
  return v & 1 ? i32x4.extend_high_i16x8_s(eight) : i32x4.extend_low_i16x8_s(eight);
}

/** Opens the minimums of groups 2i and 2i + 1: unsigned bytes, rows 0-15 each. */
// @ts-ignore: decorator
@inline export function openMinimums(opened: usize, i: i32, first: v128, second: v128): void {
  const to = opened + MINIMUMS + (<usize>i << 6);
  for (let $v = 0; $v < 4; $v++) v128.store(to, minimumsOf(first, second, $v), 16 * $v);
}

/** Minimums of two groups for rows 4v to 4v + 3, side by side in 16 bits. */
// @ts-ignore: decorator
@inline export function minimumsOf(first: v128, second: v128, v: i32): v128 {
  const pairs =
    v < 2
      ? v128.shuffle<i8>(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
      : v128.shuffle<i8>(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return v & 1 ? i16x8.extend_high_i8x16_u(pairs) : i16x8.extend_low_i8x16_u(pairs);
}

/** Bytes of an opened group of 32 columns, where each code takes a byte, or two where products are plain. */
const GROUP_CODES: usize = ASC_FEATURE_RELAXED_SIMD ? 512 : 1024;

/** Where the codes of group g of 32 columns are opened. */
// @ts-ignore: decorator
@inline export function openedCodes(opened: usize, g: i32): usize {
  return opened + CODES + <usize>g * GROUP_CODES;
}

/** Opens codes of 4 columns of 4 rows: those of rows 4v to 4v + 3 and columns 4s to 4s + 3 of a group. */
// @ts-ignore: decorator
@inline export function openCodes(group: usize, v: i32, s: i32, codes: v128): void {
  const at = <usize>(((v & 2) << 7) | ((v & 1) << 4) | (s << 5));
  if (ASC_FEATURE_RELAXED_SIMD) v128.store(group + at, codes);
  else storeWide(group, at, codes);
}

/** Input rows of a register tile, in either build: int8.ts says why. */
const T = 6;
const PLAIN_T = 5;

/** sums[t, 0 .. 16) += Σ_g s[g] · Σ x[t] · (codes − zero) for `rows` rows of input groups, `rowBytes` apart. */
function multiply(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  for (let t = 0; t < rows; t += ASC_FEATURE_RELAXED_SIMD ? T : PLAIN_T) {
    const to = sums + <usize>t * RESULT_BYTES;
    const from = x + <usize>t * rowBytes;
    if (ASC_FEATURE_RELAXED_SIMD) {
      if (columns == 32) wide(32, to, opened, zero, from, rowBytes, rows - t);
      else wide(16, to, opened, zero, from, rowBytes, rows - t);
    } else {
      if (columns == 32) plain(32, to, opened, zero, from, rowBytes, rows - t);
      else plain(16, to, opened, zero, from, rowBytes, rows - t);
    }
  }
}

// −zero in the 16-bit lanes whose sums are meant: both halves of a group of 32 columns, its first, its last.
// @ts-ignore: decorator
@inline export function zerosOfFirst(zero: i32): v128 {
  return i32x4.splat(-zero & 0xffff);
}
// @ts-ignore: decorator
@inline export function zerosOfLast(zero: i32): v128 {
  return i32x4.splat(-zero << 16);
}

// The register tiles. Rows past the last repeat it. Steps are 4 columns; at half a group scales of 16 columns come in.

// @ts-ignore: decorator
@inline function wide(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
  const firstZeros = zerosOfFirst(zero);
  const lastZeros = zerosOfLast(zero);
  for (let h: usize = 0; h < 2; h++) {
    let w = opened + CODES + (h << 8);
    let s = opened + SCALES + (h << 5);
    const to = sums + (h << 5);
    for (let $t = 0; $t < T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < 8; g++) {
      for (let $t = 0; $t < T; $t++) {
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), columns == 32 ? zeros : firstZeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 8; $s++) {
        if (columns == 16 && $s == 4) {
          for (let $t = 0; $t < T; $t++) {
            scale(to + 64 * $t, a0_$t, a1_$t, s);
            a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), lastZeros);
            a1_$t = a0_$t;
          }
          s += 64;
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < T; $t++) {
          b = v128.load32_splat(x$t, 4 + 4 * $s);
          a0_$t = dot32(b, w0, a0_$t);
          a1_$t = dot32(b, w1, a1_$t);
        }
      }
      for (let $t = 0; $t < T; $t++) {
        scale(to + 64 * $t, a0_$t, a1_$t, s);
        x$t += QK8_GROUP_BYTES;
      }
      w += GROUP_CODES;
      s += 64;
    }
  }
}

// @ts-ignore: decorator
@inline function plain(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
  const firstZeros = zerosOfFirst(zero);
  const lastZeros = zerosOfLast(zero);
  for (let h: usize = 0; h < 2; h++) {
    let w = opened + CODES + (h << 9);
    let s = opened + SCALES + (h << 5);
    const to = sums + (h << 5);
    for (let $t = 0; $t < PLAIN_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < 8; g++) {
      for (let $t = 0; $t < PLAIN_T; $t++) {
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), columns == 32 ? zeros : firstZeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 16; $s++) {
        if (columns == 16 && $s == 8) {
          for (let $t = 0; $t < PLAIN_T; $t++) {
            scale(to + 64 * $t, a0_$t, a1_$t, s);
            a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), lastZeros);
            a1_$t = a0_$t;
          }
          s += 64;
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < PLAIN_T; $t++) {
          b = v128.load32_splat(x$t, 4 + 4 * $s);
          a0_$t = dot(b, w0, a0_$t);
          a1_$t = dot(b, w1, a1_$t);
        }
      }
      for (let $t = 0; $t < PLAIN_T; $t++) {
        scale(to + 64 * $t, a0_$t, a1_$t, s);
        x$t += WIDE_BYTES;
      }
      w += GROUP_CODES;
      s += 64;
    }
  }
}

/** sums += s · a for 8 weight rows and one input row. */
// @ts-ignore: decorator
@inline function scale(sums: usize, a0: v128, a1: v128, s: usize): void {
  v128.store(sums, i32x4.add(v128.load(sums), i32x4.mul(a0, v128.load(s))));
  v128.store(sums, i32x4.add(v128.load(sums, 16), i32x4.mul(a1, v128.load(s, 16))), 16);
}
