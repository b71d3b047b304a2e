// Weights as floats of 8 bits, E4M3 or E5M2 (float8.ts), with a scale per block of columns: compressed-tensors' FP8, and plain
// F8 tensors, whose only block in a row has a scale of 1. bytes.ts has the diagram.
//
//   y[t, j] = Σ over groups of scale · Σ_c x[t, c] · float[j, c]            8 + 32 / block bits per weight

import { Bytes, F32, F32Or0, F8E4M3W, F8E5M2W, I32, Scratch } from "../types";
import { blockOf, embedBytes, multiplyBytes, packBytes, tileBytes, unpackGroups } from "../bytes";
import { E4M3, E5M2 } from "../float8";
import { gemmFloats } from "../matrix";
import { BRAIN, FLOAT, HALF } from "../scales";

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_f8e4m3w(y: F32, x: F32, w: F8E4M3W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  block = blockOf(k, block);
  gemmFloats(y, x, w, tileBytes(E4M3, k, block), bias, residual, rows, n, k, block, scratch, lo, hi, multiplyE4M3, unpackE4M3);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_f8e5m2w(y: F32, x: F32, w: F8E5M2W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  block = blockOf(k, block);
  gemmFloats(y, x, w, tileBytes(E5M2, k, block), bias, residual, rows, n, k, block, scratch, lo, hi, multiplyE5M2, unpackE5M2);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_f8e4m3w(y: F32, tokens: I32, w: F8E4M3W, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embedBytes(E4M3, y, tokens, w, d, blockOf(d, block), scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_f8e5m2w(y: F32, tokens: I32, w: F8E5M2W, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embedBytes(E5M2, y, tokens, w, d, blockOf(d, block), scale, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of E4M3[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_f8e4m3w_f8_e4m3(dst: F8E4M3W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packBytes(E4M3, dst, src, FLOAT, 0, k, blockOf(k, 0), lo, hi);
}

/** dst = the tiles of rows [lo, hi) of E5M2[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_f8e5m2w_f8_e5m2(dst: F8E5M2W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packBytes(E5M2, dst, src, FLOAT, 0, k, blockOf(k, 0), lo, hi);
}

/**
 * dst = the tiles of rows [lo, hi) of E4M3[n, k] with bf16 scales [n, ⌈k / block⌉]; codes and scales hold those rows. Units
 * are rows, in multiples of 16.
 */
export function pack_f8e4m3w_f8_e4m3_bf16(dst: F8E4M3W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  packBytes(E4M3, dst, codes, BRAIN, scales, k, blockOf(k, block), lo, hi);
}

/** The same with f16 scales. */
export function pack_f8e4m3w_f8_e4m3_f16(dst: F8E4M3W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  packBytes(E4M3, dst, codes, HALF, scales, k, blockOf(k, block), lo, hi);
}

/** The same with f32 scales. */
export function pack_f8e4m3w_f8_e4m3_f32(dst: F8E4M3W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  packBytes(E4M3, dst, codes, FLOAT, scales, k, blockOf(k, block), lo, hi);
}

function multiplyE4M3(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyBytes(E4M3, f, tile, x, groups, block);
}
function multiplyE5M2(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyBytes(E5M2, f, tile, x, groups, block);
}

function unpackE4M3(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpackGroups(E4M3, scales, codes, tile, group, count, block, how);
}
function unpackE5M2(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpackGroups(E5M2, scales, codes, tile, group, count, block, how);
}
