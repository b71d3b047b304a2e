// Weights in blocks of 256 columns with small integer scales for groups of 16 or 32 columns, which one or two f16 per block
// turn into numbers: GGUF's K types and what resembles them.
//
//   w = d · s[g] · (code − zero) − dmin · m[g]
//   Σ x · w = dx · (d · Σ_g s[g] · Σ x · (code − zero) − dmin · Σ_g m[g] · Σ x)        x ≈ dx · integer, qk8
//
// All sums over a block are exact in 32 bits. A block then adds two rounded products to its row's result, dmin's first, in
// every kernel alike. int8.ts has the ways to multiply: inputs are −127 … 127, so that DOT16 holds, for 16 columns, products
// by codes up to 31, or up to 63 with a zero of 32, and for 32 columns by codes up to 15. A scale multiplies these sums as it
// widens them.
//
// One input row: the own kernels of layouts that many models have read tiles as they are. Otherwise a block of a tile is opened
// in scratch memory, where it stays in the first cache while all rows go over it.
//
//   scratch:       results, 16 f32 per input row | integer sums, 16 per input row | opened block | inputs, where they are widened
//   opened block:  d | dmin: f32, rows 0-15 each
//                  scales: i16 pairs (s, s), rows 0-15 of group 0 | group 1 | … of 16 groups at most
//                  minimums: i16 pairs, rows 0-15 | … of 16 pairs at most: (m of group 2i, of group 2i + 1) of groups of 32
//                  columns, (m, m) of those of 16
//                  codes as int8.ts has them, 32 columns after 32 columns

import { F32Or0 } from "./types";
import { blockSum, codesBytes, dot, DOT16, dot16, DOT32, dot32, even, lowBytes, odd, PLAIN, SPARE_ROWS, storeWide } from "./int8";
import { finish, lower, RESULT_BYTES, ROWS, upper } from "./tile";

/** Columns of a block. */
export const BLOCK_COLUMNS: i32 = 256;

/** Bytes of a block of inputs (kernels/quantize-k.ts), where its groups of 32 columns start, and theirs. */
export const QK8_BYTES: usize = 340;
export const GROUPS_AT: usize = 20;
export const QK8_GROUP_BYTES: usize = 40;

// Offsets in an opened block.
const D: usize = 0;
const DMIN: usize = 64;
const SCALES: usize = 128;
const MINIMUMS: usize = 1152;
const CODES: usize = 2176;

/** Input rows that go over a block. */
const MAX_ROWS: i32 = 256;
const SUMS: usize = <usize>(MAX_ROWS + SPARE_ROWS) * RESULT_BYTES;
const OPENED: usize = 2 * SUMS;
const INPUTS: usize = OPENED + CODES + 8192;
/** What is left of 512 KiB of scratch memory. */
const INPUT_BYTES: usize = 524288 - INPUTS;
/** A block of inputs with 16 bits per value. */
const WIDE_GROUP_BYTES: usize = 72;
const WIDE_BLOCK_BYTES: usize = 576;

/** How codes below 128 are opened. */
export const NARROW: i32 = ASC_FEATURE_RELAXED_SIMD ? DOT32 : PLAIN;

/** f[0 .. 16) += the sums of one input row over `blocks` blocks of a tile. */
export type MultiplyRow = (f: usize, tile: usize, x: usize, blocks: i32, how: i32) => void;

/** Opens a block of a tile. */
export type Open = (opened: usize, block: usize, how: i32) => void;

/**
 * x is qk8, k a multiple of 256: y = residual + (bias + Σ x · w). Scales are those of groups of `columns` columns, 16 or 32:
 * where they are 32, zero is 0. Minimums are those of groups of `minimums` columns, 16 or 32; 0 is none.
 */
export function gemmSuperBlocks(y: usize, x: usize, w: usize, blockBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: usize, lo: i32, hi: i32, columns: i32, zero: i32, minimums: i32, how: i32, one: MultiplyRow | null, open: Open): void {
  const blocks = k / BLOCK_COLUMNS;
  const rowBytes = <usize>blocks * QK8_BYTES;
  const wideBytes = <usize>blocks * WIDE_BLOCK_BYTES;
  const isWide = how == PLAIN && rows > 1;
  const atOnce = isWide ? min(MAX_ROWS, <i32>(INPUT_BYTES / wideBytes)) : MAX_ROWS;
  for (let t = 0; t < rows; t += atOnce) {
    const count = min(atOnce, rows - t);
    const from = x + <usize>t * rowBytes;
    if (isWide) widenBlocks(scratch + INPUTS, from, count * blocks);
    memory.fill(scratch + SUMS, 0, <usize>count * RESULT_BYTES);
    for (let j = lo; j < hi; j += ROWS) {
      const tile = w + <usize>(j / ROWS) * <usize>blocks * blockBytes;
      memory.fill(scratch, 0, <usize>count * RESULT_BYTES);
      if (rows == 1 && one !== null) {
        one(scratch, tile, x, blocks, how);
        finish(y, scratch, bias, residual, 0, j, n);
        continue;
      }
      for (let b = 0; b < blocks; b++) {
        const input = from + <usize>b * QK8_BYTES;
        open(scratch + OPENED, tile + <usize>b * blockBytes, how);
        if (rows == 1) multiplySingle(how, scratch + SUMS, scratch + OPENED, zero, input + GROUPS_AT);
        else if (isWide) multiply(PLAIN, columns, scratch + SUMS, scratch + OPENED, zero, scratch + INPUTS + <usize>b * WIDE_BLOCK_BYTES, wideBytes, count);
        else if (ASC_FEATURE_RELAXED_SIMD) multiply(how, columns, scratch + SUMS, scratch + OPENED, zero, input + GROUPS_AT, rowBytes, count);
        for (let i = 0; i < count; i++) {
          const at = <usize>i * RESULT_BYTES;
          closeBlock(scratch + at, scratch + SUMS + at, scratch + OPENED, input + <usize>i * rowBytes, minimums);
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
@inline function closeBlock(f: usize, sums: usize, opened: usize, x: usize, minimums: i32): void {
  const dx = v128.load32_splat(x);
  for (let v: usize = 0; v < 64; v += 16) {
    let result = v128.load(f + v);
    if (minimums != 0) {
      const m = opened + MINIMUMS + v;
      let least = i32x4.splat(0);
      if (minimums == 32) {
        for (let i: usize = 0; i < 4; i++) least = i32x4.add(least, i32x4.dot_i16x8_s(v128.load(m + (i << 6)), v128.load32_splat(x + (i << 2), 4)));
      } else {
        for (let i: usize = 0; i < 8; i++) {
          const group = x + GROUPS_AT + i * QK8_GROUP_BYTES;
          least = i32x4.add(least, i32x4.dot_i16x8_s(v128.load(m + (i << 7)), v128.load32_splat(group)));
          least = i32x4.add(least, i32x4.dot_i16x8_s(v128.load(m + (i << 7), 64), v128.load32_splat(group, 4)));
        }
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
  for (let $v = 0; $v < 4; $v++) v128.store(opened + D, halves(packed, $v), 16 * $v);
}

/** Opens 16 f16 as dmin. */
// @ts-ignore: decorator
@inline export function openDmin(opened: usize, packed: usize): void {
  for (let $v = 0; $v < 4; $v++) v128.store(opened + DMIN, halves(packed, $v), 16 * $v);
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
  for (let $v = 0; $v < 4; $v++) v128.store(to, pairs(scales, scales, $v), 16 * $v);
}

/** Opens pair i of minimums: signed bytes, rows 0-15 each. */
// @ts-ignore: decorator
@inline export function openMinimums(opened: usize, i: i32, first: v128, second: v128): void {
  const to = opened + MINIMUMS + (<usize>i << 6);
  for (let $v = 0; $v < 4; $v++) v128.store(to, pairs(first, second, $v), 16 * $v);
}

/** Signed bytes of rows 4v to 4v + 3, from two vectors of 16 rows, side by side in 16 bits. */
// @ts-ignore: decorator
@inline export function pairs(first: v128, second: v128, v: i32): v128 {
  const bytes =
    v < 2
      ? v128.shuffle<i8>(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
      : v128.shuffle<i8>(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return v & 1 ? i16x8.extend_high_i8x16_s(bytes) : i16x8.extend_low_i8x16_s(bytes);
}

/** Where the codes of group g of 32 columns are opened. */
// @ts-ignore: decorator
@inline export function openedCodes(opened: usize, g: i32, how: i32): usize {
  return opened + CODES + <usize>g * codesBytes(how);
}

/** Opens codes of 4 columns of 4 rows: those of rows 4v to 4v + 3 and columns 4s to 4s + 3 of a group. */
// @ts-ignore: decorator
@inline export function openCodes(group: usize, v: i32, s: i32, codes: v128, how: i32): void {
  const at = <usize>(((v & 2) << 7) | ((v & 1) << 4) | (s << 5));
  if (how == PLAIN) storeWide(group, at, codes);
  else v128.store(group + at, codes);
}

/** Writes the groups of `blocks` blocks of inputs with 16 bits per value, in the order 0 2 1 3 of each four. */
function widenBlocks(to: usize, from: usize, blocks: i32): void {
  for (let b = 0; b < blocks; b++, from += QK8_BYTES) {
    for (let g: usize = 0; g < 8; g++, to += WIDE_GROUP_BYTES) {
      const x = from + GROUPS_AT + g * QK8_GROUP_BYTES;
      store<i64>(to, load<i64>(x));
      for (let $i = 0; $i < 2; $i++) {
        const bytes = v128.load(x, 8 + 16 * $i);
        const evens = even(bytes);
        const odds = odd(bytes);
        v128.store(to, v128.shuffle<i32>(evens, odds, 0, 4, 1, 5), 8 + 32 * $i);
        v128.store(to, v128.shuffle<i32>(evens, odds, 2, 6, 3, 7), 24 + 32 * $i);
      }
    }
  }
}

/** Where sums over 16 columns start, given the two sums of their inputs: at −zero · Σ x. */
// @ts-ignore: decorator
@inline export function start(sums: v128, zeros: v128, how: i32): v128 {
  return how == DOT16 ? i16x8.mul(sums, zeros) : i32x4.dot_i16x8_s(sums, zeros);
}

/** s · a, where a are sums that were added up as `how` says, and s is a pair of scales. */
// @ts-ignore: decorator
@inline export function scaled(a: v128, scales: v128, how: i32): v128 {
  return how == DOT16 ? i32x4.dot_i16x8_s(a, scales) : i32x4.mul(a, i32x4.shr_s(scales, 16));
}

/** sum + Σ x · codes over 4 columns: codes are below 128, and fit where `how` adds them up. */
// @ts-ignore: decorator
@inline export function addProducts(x: v128, codes: v128, sum: v128, how: i32): v128 {
  if (how == DOT16) return dot16(x, codes, sum);
  if (how == DOT32) return dot32(x, codes, sum);
  return dot(odd(x), i16x8.shr_u(codes, 8), dot(even(x), v128.and(codes, lowBytes()), sum));
}

/** sums[t, 0 .. 16) += Σ_g s[g] · Σ x[t] · (codes − zero) for `rows` rows of input groups, `rowBytes` apart. */
function multiply(how: i32, columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  if (how == PLAIN) {
    for (let t = 0; t < rows; t += NARROW_T) plain(columns, sums + <usize>t * RESULT_BYTES, opened, zero, x + <usize>t * rowBytes, rowBytes, rows - t);
  } else if (ASC_FEATURE_RELAXED_SIMD) {
    if (how == DOT16) {
      for (let t = 0; t < rows; t += NARROW_T) narrow(columns, sums + <usize>t * RESULT_BYTES, opened, zero, x + <usize>t * rowBytes, rowBytes, rows - t);
    } else {
      for (let t = 0; t < rows; t += T) wide(columns, sums + <usize>t * RESULT_BYTES, opened, zero, x + <usize>t * rowBytes, rowBytes, rows - t);
    }
  }
}

/** sums[0 .. 16) = Σ_g s[g] · Σ x · (codes − zero) for one input row that is not widened, a scale per 16 columns. */
function multiplySingle(how: i32, sums: usize, opened: usize, zero: i32, x: usize): void {
  if (how == PLAIN) single(PLAIN, sums, opened, zero, x);
  else if (how == DOT16) single(DOT16, sums, opened, zero, x);
  else single(DOT32, sums, opened, zero, x);
}

// @ts-ignore: decorator
@inline function single(how: i32, sums: usize, opened: usize, zero: i32, x: usize): void {
  const zeros = i16x8.splat(<i16>-zero);
  const half = codesBytes(how) >> 1;
  let w = opened + CODES;
  let s = opened + SCALES;
  let b: v128;
  for (let $v = 0; $v < 4; $v++) let sums$v = i32x4.splat(0);
  for (let g = 0; g < 16; g++) {
    const isLast = <usize>(g & 1);
    const at = start(v128.load32_splat(x + (isLast << 2)), zeros, how);
    const columns = x + (isLast << 4);
    for (let $v = 0; $v < 4; $v++) let a$v = at;
    for (let $s = 0; $s < 4; $s++) {
      b = v128.load32_splat(columns, 8 + 4 * $s);
      for (let $v = 0; $v < 4; $v++) {
        if (how == PLAIN) {
          a$v = dot(even(b), v128.load(w + half * ($v / 2), 64 * $s + 16 * ($v % 2)), a$v);
          a$v = dot(odd(b), v128.load(w + half * ($v / 2), 64 * $s + 16 * ($v % 2) + 32), a$v);
        } else {
          a$v = addProducts(b, v128.load(w + half * ($v / 2), 32 * $s + 16 * ($v % 2)), a$v, how);
        }
      }
    }
    for (let $v = 0; $v < 4; $v++) sums$v = i32x4.add(sums$v, scaled(a$v, v128.load(s, 16 * $v), how));
    s += 64;
    // The second half of a group follows its first; then come rows 8-15, which were read too.
    w += isLast ? half + (half >> 1) : half >> 1;
    x += isLast ? QK8_GROUP_BYTES : 0;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(sums, sums$v, 16 * $v);
}

/** Input rows of the register tiles: int8.ts says why. */
const T = 6;
const NARROW_T = 5;

// The register tiles. Rows past the last repeat it. Steps are 4 columns; a scale comes in after 4 of them, or after 8.

function wide(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
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
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), zeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 8; $s++) {
        if ($s == 4) {
          if (columns == 16) {
            w0 = i32x4.shr_s(v128.load(s), 16);
            w1 = i32x4.shr_s(v128.load(s, 16), 16);
            for (let $t = 0; $t < T; $t++) {
              add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
              a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t, 4), zeros);
              a1_$t = a0_$t;
            }
            s += 64;
          }
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < T; $t++) {
          b = v128.load32_splat(x$t, 8 + 4 * $s);
          a0_$t = dot32(b, w0, a0_$t);
          a1_$t = dot32(b, w1, a1_$t);
        }
      }
      w0 = i32x4.shr_s(v128.load(s), 16);
      w1 = i32x4.shr_s(v128.load(s, 16), 16);
      for (let $t = 0; $t < T; $t++) {
        add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
        x$t += QK8_GROUP_BYTES;
      }
      w += 512;
      s += 64;
    }
  }
}

function narrow(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
  for (let h: usize = 0; h < 2; h++) {
    let w = opened + CODES + (h << 8);
    let s = opened + SCALES + (h << 5);
    const to = sums + (h << 5);
    for (let $t = 0; $t < NARROW_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < 8; g++) {
      for (let $t = 0; $t < NARROW_T; $t++) {
        let a0_$t = i16x8.mul(v128.load32_splat(x$t), zeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 8; $s++) {
        if ($s == 4) {
          if (columns == 16) {
            w0 = v128.load(s);
            w1 = v128.load(s, 16);
            for (let $t = 0; $t < NARROW_T; $t++) {
              add(to + 64 * $t, i32x4.dot_i16x8_s(a0_$t, w0), i32x4.dot_i16x8_s(a1_$t, w1));
              a0_$t = i16x8.mul(v128.load32_splat(x$t, 4), zeros);
              a1_$t = a0_$t;
            }
            s += 64;
          }
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < NARROW_T; $t++) {
          b = v128.load32_splat(x$t, 8 + 4 * $s);
          a0_$t = dot16(b, w0, a0_$t);
          a1_$t = dot16(b, w1, a1_$t);
        }
      }
      w0 = v128.load(s);
      w1 = v128.load(s, 16);
      for (let $t = 0; $t < NARROW_T; $t++) {
        add(to + 64 * $t, i32x4.dot_i16x8_s(a0_$t, w0), i32x4.dot_i16x8_s(a1_$t, w1));
        x$t += QK8_GROUP_BYTES;
      }
      w += 512;
      s += 64;
    }
  }
}

function plain(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
  for (let h: usize = 0; h < 2; h++) {
    let w = opened + CODES + (h << 9);
    let s = opened + SCALES + (h << 5);
    const to = sums + (h << 5);
    for (let $t = 0; $t < NARROW_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < 8; g++) {
      for (let $t = 0; $t < NARROW_T; $t++) {
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), zeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 16; $s++) {
        if ($s == 8) {
          if (columns == 16) {
            w0 = i32x4.shr_s(v128.load(s), 16);
            w1 = i32x4.shr_s(v128.load(s, 16), 16);
            for (let $t = 0; $t < NARROW_T; $t++) {
              add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
              a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t, 4), zeros);
              a1_$t = a0_$t;
            }
            s += 64;
          }
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < NARROW_T; $t++) {
          b = v128.load32_splat(x$t, 8 + 4 * $s);
          a0_$t = dot(b, w0, a0_$t);
          a1_$t = dot(b, w1, a1_$t);
        }
      }
      w0 = i32x4.shr_s(v128.load(s), 16);
      w1 = i32x4.shr_s(v128.load(s, 16), 16);
      for (let $t = 0; $t < NARROW_T; $t++) {
        add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
        x$t += WIDE_GROUP_BYTES;
      }
      w += 1024;
      s += 64;
    }
  }
}

/** sums += a, for 8 weight rows and one input row. */
// @ts-ignore: decorator
@inline function add(sums: usize, a0: v128, a1: v128): void {
  v128.store(sums, i32x4.add(v128.load(sums), a0));
  v128.store(sums, i32x4.add(v128.load(sums, 16), a1), 16);
}

/** Opens the same scale for every group. */
export function openOne(opened: usize): void {
  const one = i16x8.splat(1);
  for (let at = opened + SCALES; at < opened + MINIMUMS; at += 16) v128.store(at, one);
}

/** Packs rows [0, rows) of a block of a tile; stored rows are `rowBytes` apart. */
export type PackBlock = (block: usize, from: usize, rowBytes: usize, rows: i32) => void;

/** Packs the tiles of rows [lo, hi) of a matrix of k columns, block by block of 256 columns. */
export function packSuperBlocks(dst: usize, src: usize, k: i32, blockBytes: usize, storedBytes: usize, lo: i32, hi: i32, pack: PackBlock): void {
  const blocks = k / BLOCK_COLUMNS;
  const rowBytes = <usize>blocks * storedBytes;
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>(j / ROWS) * <usize>blocks * blockBytes;
    const from = src + <usize>(j - lo) * rowBytes;
    if (rows < ROWS) memory.fill(tile, 0, <usize>blocks * blockBytes);
    for (let b: usize = 0; b < <usize>blocks; b++) pack(tile + b * blockBytes, from + b * storedBytes, rowBytes, rows);
  }
}

/** The weight in row r and column c of a block, without any rounding but those of its definition. */
export type WeightOf = (block: usize, r: i32, c: i32) => f32;

/** y[t, :] = scale · w[tokens[t], :] */
export function embedSuperBlocks(y: usize, tokens: usize, w: usize, d: i32, scale: f32, blockBytes: usize, lo: i32, hi: i32, weight: WeightOf): void {
  const blocks = <usize>(d / BLOCK_COLUMNS);
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const tile = w + <usize>(token / ROWS) * blocks * blockBytes;
    let to = y + (<usize>t * <usize>d << 2);
    for (let b: usize = 0; b < blocks; b++) {
      for (let c = 0; c < BLOCK_COLUMNS; c++, to += 4) store<f32>(to, scale * weight(tile + b * blockBytes, token % ROWS, c));
    }
  }
}

/** Columns 4i to 4i + 3 of 4 rows of 16 codes, a byte each. */
// @ts-ignore: decorator
@inline export function fourOf(i: i32, row0: v128, row1: v128, row2: v128, row3: v128): v128 {
  if (i == 0) return v128.shuffle<i32>(v128.shuffle<i32>(row0, row1, 0, 4, 0, 4), v128.shuffle<i32>(row2, row3, 0, 4, 0, 4), 0, 1, 4, 5);
  if (i == 1) return v128.shuffle<i32>(v128.shuffle<i32>(row0, row1, 1, 5, 1, 5), v128.shuffle<i32>(row2, row3, 1, 5, 1, 5), 0, 1, 4, 5);
  if (i == 2) return v128.shuffle<i32>(v128.shuffle<i32>(row0, row1, 2, 6, 2, 6), v128.shuffle<i32>(row2, row3, 2, 6, 2, 6), 0, 1, 4, 5);
  return v128.shuffle<i32>(v128.shuffle<i32>(row0, row1, 3, 7, 3, 7), v128.shuffle<i32>(row2, row3, 3, 7, 3, 7), 0, 1, 4, 5);
}
