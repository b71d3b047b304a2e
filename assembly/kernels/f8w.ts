// Weights as floats of 8 bits, E4M3 or E5M2 (float8.ts), with a scale per block of columns: compressed-tensors' FP8, and plain
// F8 tensors, whose only block in a row has a scale of 1. float8-tiles.ts has the diagram.
//
//   y[t, j] = Σ over groups of scale · Σ_c x[t, c] · float[j, c]            8 + scale / block bits per weight

import { Bytes, F32, F32Or0, F8E4M3W, F8E5M2W, I32, Scratch } from "../types";
import { E4M3, E5M2 } from "../float8";
import { embedTile, float8Blocks, multiplyTile, packTile, tileBytes, unpackTile } from "../float8-tiles";
import { gemmFloats } from "../matrix";
import { Blocks, FLOAT } from "../scales";

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_f8e4m3w(y: F32, x: F32, w: F8E4M3W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scale_type: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const blocks = float8Blocks(k, block, scale_type);
  gemmFloats(y, x, w, tileBytes(k, blocks), bias, residual, rows, n, k, blocks, scratch, lo, hi, multiplyE4M3, unpackE4M3);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_f8e5m2w(y: F32, x: F32, w: F8E5M2W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const blocks = float8Blocks(k, block, FLOAT);
  gemmFloats(y, x, w, tileBytes(k, blocks), bias, residual, rows, n, k, blocks, scratch, lo, hi, multiplyE5M2, unpackE5M2);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_f8e4m3w(y: F32, tokens: I32, w: F8E4M3W, d: i32, block: i32, scale_type: i32, scale: f32, lo: i32, hi: i32): void {
  embedTile(E4M3, y, tokens, w, d, float8Blocks(d, block, scale_type), scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_f8e5m2w(y: F32, tokens: I32, w: F8E5M2W, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embedTile(E5M2, y, tokens, w, d, float8Blocks(d, block, FLOAT), scale, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of E4M3[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_f8e4m3w_f8_e4m3(dst: F8E4M3W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packTile(E4M3, dst, src, 0, k, float8Blocks(k, 0, FLOAT), lo, hi);
}

/** dst = the tiles of rows [lo, hi) of E5M2[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_f8e5m2w_f8_e5m2(dst: F8E5M2W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packTile(E5M2, dst, src, 0, k, float8Blocks(k, 0, FLOAT), lo, hi);
}

/**
 * dst = the tiles of rows [lo, hi) of E4M3[n, k] with scales [n, ⌈k / block⌉]; codes and scales hold those rows. Units are rows,
 * in multiples of 16.
 */
export function pack_f8e4m3w_f8_e4m3_scaled(dst: F8E4M3W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, scale_type: i32, lo: i32, hi: i32): void {
  packTile(E4M3, dst, codes, scales, k, float8Blocks(k, block, scale_type), lo, hi);
}

function multiplyE4M3(f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks, how: i32): void {
  multiplyTile(E4M3, f, tile, x, groups, blocks);
}
function multiplyE5M2(f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks, how: i32): void {
  multiplyTile(E5M2, f, tile, x, groups, blocks);
}

function unpackE4M3(scales: usize, codes: usize, tile: usize, group: i32, count: i32, blocks: Blocks, how: i32): void {
  unpackTile(E4M3, scales, codes, tile, group, count, blocks);
}
function unpackE5M2(scales: usize, codes: usize, tile: usize, group: i32, count: i32, blocks: Blocks, how: i32): void {
  unpackTile(E5M2, scales, codes, tile, group, count, blocks);
}
