// Weights of 8 bits in blocks of `block` columns (a multiple of 32) with a scale each: torchao's and compressed-tensors' int8
// with a scale per group, and int5, int6 and int7, which are widened. bytes.ts has the diagram.
//
//   w[j, c] = scale · q                8 + 32 / block bits per weight, and 32 per row
//   R[j] = Σ_c w[j, c]
//   x as f32:  y[t, j] = Σ over groups of scale · Σ_c x[t, c] · q[j, c]
//   x as qd8:  y[t, j] = s · (Σ over groups of scale · Σ_c x[t, c] · q[j, c] − z · R[j])

import { Bytes, F32, F32Or0, I32, QB8W, QD8, Scratch } from "../types";
import { embedBytes, GROUP_BYTES, headerBytes, INT8, multiplyBytes, packBytes, tileBytes, unpackGroups, zeroOf } from "../bytes";
import { blockSum, dot, DOT32, dot32, dotOfBytes, even, FLOATS, GROUP, lowBytes, odd, PLAIN, QD8_BYTES, SCALES_BYTES } from "../int8";
import { gemmFloats, gemmZeros } from "../matrix";
import { BRAIN, FLOAT, HALF } from "../scales";

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qb8w_f32(y: F32, x: F32, w: QB8W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmFloats(y, x, w, tileBytes(INT8, k, block), bias, residual, rows, n, k, block, scratch, lo, hi, multiplyOne, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qb8w_f32(y: F32, x: QD8, w: QB8W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmZeros(false, y, x, w, tileBytes(INT8, k, block), bias, residual, rows, n, k, block, dotOfBytes(), scratch, lo, hi, multiplyOne, unpack);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb8w_f32(y: F32, tokens: I32, w: QB8W, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embedBytes(INT8, y, tokens, w, d, block, scale, lo, hi);
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix [n, k] of int8 codes with bf16 scales [n, k / block]; codes and scales hold
 * those rows. Units are rows, in multiples of 16.
 */
export function pack_qb8w_f32_i8_bf16(dst: QB8W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  packBytes(INT8, dst, codes, BRAIN, scales, k, block, lo, hi);
}

/** The same with f16 scales. */
export function pack_qb8w_f32_i8_f16(dst: QB8W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  packBytes(INT8, dst, codes, HALF, scales, k, block, lo, hi);
}

/** The same with f32 scales. */
export function pack_qb8w_f32_i8_f32(dst: QB8W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  packBytes(INT8, dst, codes, FLOAT, scales, k, block, lo, hi);
}

function multiplyOne(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  if (how == FLOATS) multiplyBytes(INT8, f, tile, x, groups, block);
  else if (how == PLAIN || !ASC_FEATURE_RELAXED_SIMD) multiplyIntegers(PLAIN, f, tile, x, groups, block);
  else multiplyIntegers(DOT32, f, tile, x, groups, block);
}

function unpack(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpackGroups(INT8, scales, codes, tile, group, count, block, how);
}

// @ts-ignore: decorator
@inline function multiplyIntegers(how: i32, f: usize, tile: usize, x: usize, groups: i32, block: i32): void {
  const zero = zeroOf(how);
  const flip = i8x16.splat(zero == 0 ? -128 : 0);
  const zeros = i16x8.splat(<i16>-zero);
  const low = lowBytes();
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let xs: v128;
  let codes: v128;
  let p = tile + headerBytes(INT8);
  for (; groups > 0; groups -= block / GROUP) {
    const scales = p;
    p += SCALES_BYTES;
    for (let g = 0; g < block; g += GROUP) {
      const start = i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
      for (let $v = 0; $v < 4; $v++) let a$v = start;
      for (let $s = 0; $s < 8; $s++) {
        xs = v128.load32_splat(x, 4 + 4 * $s);
        if (how == PLAIN) {
          const evenX = even(xs);
          const oddX = odd(xs);
          for (let $v = 0; $v < 4; $v++) {
            codes = v128.load(p, 32 * $s + 256 * ($v / 2) + 16 * ($v % 2));
            a$v = dot(evenX, v128.and(codes, low), a$v);
            a$v = dot(oddX, i16x8.shr_u(codes, 8), a$v);
          }
        } else {
          for (let $v = 0; $v < 4; $v++) a$v = dot32(xs, v128.xor(v128.load(p, 32 * $s + 256 * ($v / 2) + 16 * ($v % 2)), flip), a$v);
        }
      }
      for (let $v = 0; $v < 4; $v++) f$v = blockSum(a$v, v128.load(scales, 16 * $v), f$v);
      p += GROUP_BYTES;
      x += QD8_BYTES;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}
