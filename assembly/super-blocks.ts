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
//   scratch:       results, 16 f32 per input row and tile | integer sums, 16 per input row | opened block | a block of all inputs,
//                  where they are widened: for as many tiles as a band has
//   opened block:  opened-block.ts

import { F32Or0 } from "./types";
import { PLAIN } from "./int8";
import { blockSum, SPARE_ROWS } from "./int8-tiles";
import { CODES, D, DMIN, MINIMUMS } from "./opened-block";
import { BLOCK_COLUMNS, GROUPS_AT, multiply, multiplySingle, QK8_BYTES, QK8_GROUP_BYTES, WIDE_BLOCK_BYTES, widenBlocks } from "./super-products";
import { nmadd } from "./simd";
import { clear, finish, RESULT_BYTES, ROWS } from "./tile";

/** Input rows that go over a block. */
const MAX_ROWS: i32 = 256;
const SUMS: usize = <usize>(MAX_ROWS + SPARE_ROWS) * RESULT_BYTES;
/** Tiles of a band, which share widened inputs. */
const BAND: i32 = 8;
const INTEGERS: usize = <usize>BAND * SUMS;
const OPENED: usize = INTEGERS + SUMS;
const INPUTS: usize = OPENED + CODES + 8192;

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
  const tileBytes = <usize>blocks * blockBytes;
  if (rows == 1 && one !== null) {
    for (let j = lo; j < hi; j += ROWS) {
      clear(scratch);
      one(scratch, w + <usize>(j / ROWS) * tileBytes, x, blocks, how);
      finish(y, scratch, bias, residual, 0, 1, j, n);
    }
    return;
  }
  const isWide = how == PLAIN && rows > 1;
  const bandRows = isWide ? BAND * ROWS : ROWS;
  for (let t = 0; t < rows; t += MAX_ROWS) {
    const count = min(MAX_ROWS, rows - t);
    memory.fill(scratch + INTEGERS, 0, <usize>count * RESULT_BYTES);
    for (let band = lo; band < hi; band += bandRows) {
      const end = min(band + bandRows, hi);
      for (let j = band, f = scratch; j < end; j += ROWS, f += SUMS) memory.fill(f, 0, <usize>count * RESULT_BYTES);
      for (let b: usize = 0; b < <usize>blocks; b++) {
        const input = x + <usize>t * rowBytes + b * QK8_BYTES;
        if (isWide) widenBlocks(scratch + INPUTS, input, rowBytes, count);
        for (let j = band, f = scratch; j < end; j += ROWS, f += SUMS) {
          open(scratch + OPENED, w + <usize>(j / ROWS) * tileBytes + b * blockBytes, how);
          if (rows == 1) multiplySingle(how, scratch + INTEGERS, scratch + OPENED, zero, input + GROUPS_AT);
          else if (isWide) multiply(PLAIN, columns, scratch + INTEGERS, scratch + OPENED, zero, scratch + INPUTS, WIDE_BLOCK_BYTES, count);
          else if (ASC_FEATURE_RELAXED_SIMD) multiply(how, columns, scratch + INTEGERS, scratch + OPENED, zero, input + GROUPS_AT, rowBytes, count);
          for (let i = 0; i < count; i++) {
            const at = <usize>i * RESULT_BYTES;
            closeBlock(f + at, scratch + INTEGERS + at, scratch + OPENED, input + <usize>i * rowBytes, minimums);
          }
        }
      }
      for (let j = band, f = scratch; j < end; j += ROWS, f += SUMS) {
        finish(y, f, bias, residual, t, count, j, n);
      }
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
  return nmadd(f32x4.convert_i32x4_s(sums), f32x4.mul(dmin, dx), f);
}

/** Adds the integer sums of one input row to its results, and clears them. */
// @ts-ignore: decorator
@inline function closeBlock(f: usize, sums: usize, opened: usize, x: usize, minimums: i32): void {
  const dx = v128.load32_splat(x);
  for (let $v = 0; $v < 4; $v++) let result$v = v128.load(f, 16 * $v);
  if (minimums != 0) {
    for (let $v = 0; $v < 4; $v++) let least$v = i32x4.splat(0);
    if (minimums == 32) {
      for (let $i = 0; $i < 4; $i++) {
        const sum$i = v128.load32_splat(x, 4 + 4 * $i);
        for (let $v = 0; $v < 4; $v++) least$v = i32x4.add(least$v, i32x4.dot_i16x8_s(v128.load(opened + MINIMUMS, 64 * $i + 16 * $v), sum$i));
      }
    } else {
      let m = opened + MINIMUMS;
      for (let group = x + GROUPS_AT, end = group + 8 * QK8_GROUP_BYTES; group < end; group += QK8_GROUP_BYTES, m += 128) {
        const first = v128.load32_splat(group);
        const second = v128.load32_splat(group, 4);
        for (let $v = 0; $v < 4; $v++) {
          least$v = i32x4.add(least$v, i32x4.dot_i16x8_s(v128.load(m, 16 * $v), first));
          least$v = i32x4.add(least$v, i32x4.dot_i16x8_s(v128.load(m, 16 * $v + 64), second));
        }
      }
    }
    for (let $v = 0; $v < 4; $v++) result$v = blockMinimum(least$v, v128.load(opened + DMIN, 16 * $v), dx, result$v);
  }
  for (let $v = 0; $v < 4; $v++) {
    v128.store(f, blockResult(v128.load(sums, 16 * $v), v128.load(opened + D, 16 * $v), dx, result$v), 16 * $v);
    v128.store(sums, i32x4.splat(0), 16 * $v);
  }
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
