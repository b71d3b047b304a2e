// Weights of 4 bits in blocks of `block` columns (a multiple of 32) with a scale each: GGUF's Q4_0, torchao's and
// compressed-tensors' symmetric int4.
//
//   tile of 16 rows:  sums R: f32, rows 0-15 | block 0 | block 1 | … | block k / block − 1
//   block:            scales | group of 32 columns | group | …
//   scales:           f16 or bf16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15 (32 bytes), or f32, rows 0-15 (64 bytes)
//   group:            codes q + 8, q = −8 … 7; nibbles.ts has the diagram                                 256 bytes
//
//   w[j, c] = scale · q                4 + 16 / block bits per weight, or 4 + 32 / block, and 32 per row
//   R[j] = Σ_c w[j, c]
//   x as f32:  y[t, j] = Σ over groups of scale · Σ_c x[t, c] · q[j, c]
//   x as qb8:  y[t, j] = Σ over groups of scale · d · Σ_c x[t, c] · q[j, c]
//   x as qd8:  y[t, j] = s · (Σ over groups of scale · Σ_c x[t, c] · q[j, c] − z · R[j])
//
// compressed-tensors defines w as that product rounded to the scale's type, bf16 as a rule. Kernels take the scale out of the
// sum instead, which a rounding of each product would forbid: the difference is at most 2^-9 of each weight.

import { Bytes, F32, F32Or0, I32, QB4W, QD8, Scratch } from "../types";
import { dotOfEights, GROUP } from "../int8";
import { gemmBlocks, gemmFloats, gemmScaled } from "../matrix";
import {
  blockBytes, groupAt, HEADER_BYTES, multiplyBlocksBrain, multiplyBlocksFloat, multiplyBlocksHalf, multiplyFloatsBrain, multiplyFloatsFloat,
  multiplyFloatsHalf, multiplyScaledBrain, multiplyScaledHalf, scalesBytes, tileBytes, unpackBrain, unpackFloat, unpackHalf, vectorOfScales, ZERO,
} from "../nibble-tiles";
import { BYTES, NIBBLES, nibbleOf, packNibbles, PAIRS, sumOfNibbles } from "../nibbles";
import { half, halfAt, ROWS } from "../tile";

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qb4w_f16(y: F32, x: F32, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmFloats(y, x, w, tileBytes<u16>(k, block), bias, residual, rows, n, k, block, scratch, lo, hi, multiplyFloatsHalf, unpackHalf);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qb4w_bf16(y: F32, x: F32, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmFloats(y, x, w, tileBytes<i16>(k, block), bias, residual, rows, n, k, block, scratch, lo, hi, multiplyFloatsBrain, unpackBrain);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qb4w_f32(y: F32, x: F32, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmFloats(y, x, w, tileBytes<f32>(k, block), bias, residual, rows, n, k, block, scratch, lo, hi, multiplyFloatsFloat, unpackFloat);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_qb4w_f16(y: F32, x: QD8, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmScaled(y, x, w, tileBytes<u16>(k, block), bias, residual, rows, n, k, block, ZERO, dotOfEights(rows), scratch, lo, hi, multiplyScaledHalf, unpackHalf);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_qb4w_bf16(y: F32, x: QD8, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmScaled(y, x, w, tileBytes<i16>(k, block), bias, residual, rows, n, k, block, ZERO, dotOfEights(rows), scratch, lo, hi, multiplyScaledBrain, unpackBrain);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qb4w_f16(y: F32, x: QD8, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmBlocks(y, x, w, tileBytes<u16>(k, block), bias, residual, rows, n, k, block, ZERO, dotOfEights(rows), scratch, lo, hi, multiplyBlocksHalf, unpackHalf);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qb4w_bf16(y: F32, x: QD8, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmBlocks(y, x, w, tileBytes<i16>(k, block), bias, residual, rows, n, k, block, ZERO, dotOfEights(rows), scratch, lo, hi, multiplyBlocksBrain, unpackBrain);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qb4w_f32(y: F32, x: QD8, w: QB4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmBlocks(y, x, w, tileBytes<f32>(k, block), bias, residual, rows, n, k, block, ZERO, dotOfEights(rows), scratch, lo, hi, multiplyBlocksFloat, unpackFloat);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb4w_f16(y: F32, tokens: I32, w: QB4W, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embed<u16>(y, tokens, w, d, block, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb4w_bf16(y: F32, tokens: I32, w: QB4W, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embed<i16>(y, tokens, w, d, block, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb4w_f32(y: F32, tokens: I32, w: QB4W, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embed<f32>(y, tokens, w, d, block, scale, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of Q4_0[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_qb4w_f16_q4_0(dst: QB4W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack<u16>(NIBBLES, dst, src + 2, 18, src, 18, k, GROUP, lo, hi);
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix [n, k] of int8 codes −8 … 7 with bf16 scales [n, k / block]; codes and scales
 * hold those rows. Units are rows, in multiples of 16.
 */
export function pack_qb4w_bf16_i8(dst: QB4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack<i16>(BYTES, dst, codes, 32, scales, 2, k, block, lo, hi);
}

/** The same with f16 scales. */
export function pack_qb4w_f16_i8(dst: QB4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack<u16>(BYTES, dst, codes, 32, scales, 2, k, block, lo, hi);
}

/** The same with f32 scales. */
export function pack_qb4w_f32_i8(dst: QB4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack<f32>(BYTES, dst, codes, 32, scales, 4, k, block, lo, hi);
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix [n, k] of codes + 8, eight to an i32 from its low end, with bf16 scales
 * [n, k / block]; codes and scales hold those rows. Units are rows, in multiples of 16.
 */
export function pack_qb4w_bf16_packed(dst: QB4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack<i16>(PAIRS, dst, codes, 16, scales, 2, k, block, lo, hi);
}

/** The same with f16 scales. */
export function pack_qb4w_f16_packed(dst: QB4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack<u16>(PAIRS, dst, codes, 16, scales, 2, k, block, lo, hi);
}

/** The same with f32 scales. */
export function pack_qb4w_f32_packed(dst: QB4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack<f32>(PAIRS, dst, codes, 16, scales, 4, k, block, lo, hi);
}

/** Packs rows whose groups of codes and blocks' scales lie `step` and `scaleStep` bytes apart. */
// @ts-ignore: decorator
@inline function pack<S>(source: i32, dst: usize, codes: usize, step: usize, scales: usize, scaleStep: usize, k: i32, block: i32, lo: i32, hi: i32): void {
  const groups = k / GROUP;
  const blocks = k / block;
  const rowBytes = <usize>groups * step;
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>(j / ROWS) * tileBytes<S>(k, block);
    if (rows < ROWS) memory.fill(tile, 0, tileBytes<S>(k, block));
    for (let r = 0; r < rows; r++) {
      let at = tile + HEADER_BYTES + (isFloat<S>() ? <usize>r << 2 : halfAt(r));
      for (let b = 0; b < blocks; b++, scales += scaleStep, at += blockBytes<S>(block)) {
        if (isFloat<S>()) store<f32>(at, load<f32>(scales));
        else store<u16>(at, load<u16>(scales));
      }
    }
    packNibbles(source, groupAt<S>(tile, 0, block), scalesBytes<S>(), codes, step, rows, k, block);
    codes += <usize>ROWS * rowBytes;
    storeSums<S>(tile, groups, block);
  }
}

/** R of a tile: a product and a sum per block, in order. */
// @ts-ignore: decorator
@inline function storeSums<S>(tile: usize, groups: i32, block: i32): void {
  for (let v = 0; v < 4; v++) {
    let sums = f32x4.splat(0);
    for (let g = 0; g < groups; ) {
      const scales = vectorOfScales<S>(groupAt<S>(tile, g, block) - scalesBytes<S>(), v);
      let total = i32x4.splat(-ZERO * block);
      for (let end = g + block / GROUP; g < end; g++) total = i32x4.add(total, sumOfNibbles(groupAt<S>(tile, g, block), 4 * v));
      sums = f32x4.add(sums, f32x4.mul(f32x4.convert_i32x4_s(total), scales));
    }
    v128.store(tile + (<usize>v << 4), sums);
  }
}

// @ts-ignore: decorator
@inline function embed<S>(y: usize, tokens: usize, w: usize, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const tile = w + <usize>(token / ROWS) * tileBytes<S>(d, block);
    let to = y + (<usize>t * <usize>d << 2);
    for (let g = 0; g < d / GROUP; g++) {
      const group = groupAt<S>(tile, g, block);
      const scales = tile + HEADER_BYTES + <usize>(g * GROUP / block) * blockBytes<S>(block);
      const s = isFloat<S>() ? load<f32>(scales + (<usize>r << 2)) : half<S>(scales + halfAt(r));
      for (let c = 0; c < GROUP; c++, to += 4) {
        store<f32>(to, scale * (s * <f32>(nibbleOf(group, r, c) - ZERO)));
      }
    }
  }
}
