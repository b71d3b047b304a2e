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
import {
  codesBytes, dot, DOT16, dot16, DOT32, dot32, dotOfEights, even, FLOATS, GROUP, lowestNibbles, lowNibbles, odd, ones, PLAIN, QB8_BYTES, QD8_BYTES,
  SCALES_BYTES, storeFloats, storeWide, WRAP16,
} from "../int8";
import { BLOCKS, blockSum, SCALED, scaledSum } from "../int8-tiles";
import { gemmBlocks, gemmFloats, gemmScaled } from "../matrix";
import { BYTES, GROUP_BYTES, NIBBLES, nibbleOf, packNibbles, PAIRS, sumOfNibbles } from "../nibbles";
import { madd } from "../simd";
import { half, halfAt, lower, ROWS, upper } from "../tile";

const ZERO: i32 = 8;
const HEADER_BYTES: usize = 64;

// Scale types as type parameters: f32, u16 for f16, i16 for bf16.

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

// @ts-ignore: decorator
@inline function scalesBytes<S>(): usize {
  return sizeof<S>() << 4;
}

// @ts-ignore: decorator
@inline function blockBytes<S>(block: i32): usize {
  return scalesBytes<S>() + (<usize>block << 3);
}

// @ts-ignore: decorator
@inline function tileBytes<S>(k: i32, block: i32): usize {
  return HEADER_BYTES + <usize>(k / block) * blockBytes<S>(block);
}

/** Where group g of a tile starts. */
// @ts-ignore: decorator
@inline function groupAt<S>(tile: usize, g: i32, block: i32): usize {
  return tile + HEADER_BYTES + <usize>(g * GROUP / block + 1) * scalesBytes<S>() + <usize>g * GROUP_BYTES;
}

/** Scales of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline function vectorOfScales<S>(scales: usize, v: i32): v128 {
  if (isFloat<S>()) return v128.load(scales + (<usize>v << 4));
  const pair = v128.load(scales + (<usize>(v >> 1) << 4));
  return v & 1 ? upper<S>(pair) : lower<S>(pair);
}

function multiplyScaledHalf(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<u16>(SCALED, f, tile, x, groups, block, how);
}
function multiplyScaledBrain(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<i16>(SCALED, f, tile, x, groups, block, how);
}
function multiplyBlocksHalf(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<u16>(BLOCKS, f, tile, x, groups, block, how);
}
function multiplyBlocksBrain(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<i16>(BLOCKS, f, tile, x, groups, block, how);
}
function multiplyBlocksFloat(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<f32>(BLOCKS, f, tile, x, groups, block, how);
}

function multiplyFloatsHalf(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyFloats<u16>(f, tile, x, groups, block);
}
function multiplyFloatsBrain(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyFloats<i16>(f, tile, x, groups, block);
}
function multiplyFloatsFloat(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyFloats<f32>(f, tile, x, groups, block);
}

// @ts-ignore: decorator
@inline function multiplyFloats<S>(f: usize, tile: usize, x: usize, groups: i32, block: i32): void {
  const signs = i8x16.splat(<i8>0x88); // code ^ 8 is q as a 4-bit two's complement
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let p = tile + HEADER_BYTES;
  for (let b = block / GROUP; groups > 0; groups -= b) {
    for (let $v = 0; $v < 4; $v++) let s$v = vectorOfScales<S>(p, $v);
    p += scalesBytes<S>();
    for (let g = 0; g < b; g++) {
      for (let $v = 0; $v < 4; $v++) let a$v = f32x4.splat(0);
      // Columns in order: all low nibbles first.
      for (let $h = 0; $h < 2; $h++) {
        for (let $s = 0; $s < 4; $s++) {
          const x0 = v128.load32_splat(x, 64 * $h + 16 * $s);
          const x1 = v128.load32_splat(x, 64 * $h + 16 * $s + 4);
          const x2 = v128.load32_splat(x, 64 * $h + 16 * $s + 8);
          const x3 = v128.load32_splat(x, 64 * $h + 16 * $s + 12);
          for (let $v = 0; $v < 4; $v++) {
            const codes = v128.xor(v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s), signs);
            for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(codes, 28 - 4 * $h - 8 * $i), 28)), a$v);
          }
        }
      }
      for (let $v = 0; $v < 4; $v++) f$v = madd(a$v, s$v, f$v);
      p += GROUP_BYTES;
      x += 128;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

// @ts-ignore: decorator
@inline function multiplyOne<S>(form: i32, f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy<S>(form, PLAIN, f, tile, x, groups, block);
  else if (how == DOT16) multiplyBy<S>(form, DOT16, f, tile, x, groups, block);
  else multiplyBy<S>(form, DOT32, f, tile, x, groups, block);
}

// @ts-ignore: decorator
@inline function multiplyBy<S>(form: i32, how: i32, f: usize, tile: usize, x: usize, groups: i32, block: i32): void {
  const zeros = i16x8.splat(<i16>-ZERO);
  const low = how == PLAIN ? lowestNibbles() : lowNibbles();
  const one = ones();
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let x0: v128;
  let x1: v128;
  let codes: v128;
  let p = tile + HEADER_BYTES;
  for (let b = block / GROUP; groups > 0; groups -= b) {
    const scalesAt = p;
    p += scalesBytes<S>();
    for (let g = 0; g < b; g++) {
      const start = how == DOT16 ? i16x8.mul(v128.load32_splat(x), zeros) : i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
      for (let $v = 0; $v < 4; $v++) let a$v = start;
      for (let $s = 0; $s < 4; $s++) {
        x0 = v128.load32_splat(x, 4 + 4 * $s);
        x1 = v128.load32_splat(x, 20 + 4 * $s);
        if (how == PLAIN) {
          const even0 = even(x0);
          const odd0 = odd(x0);
          const even1 = even(x1);
          const odd1 = odd(x1);
          for (let $v = 0; $v < 4; $v++) {
            codes = v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
            a$v = dot(even0, v128.and(codes, low), a$v);
            a$v = dot(even1, v128.and(i16x8.shr_u(codes, 4), low), a$v);
            a$v = dot(odd0, v128.and(i16x8.shr_u(codes, 8), low), a$v);
            a$v = dot(odd1, i16x8.shr_u(codes, 12), a$v);
          }
        } else {
          for (let $v = 0; $v < 4; $v++) {
            codes = v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
            const first = v128.and(codes, low);
            const second = v128.and(i16x8.shr_u(codes, 4), low);
            a$v = how == DOT16 ? dot16(x0, first, a$v) : dot32(x0, first, a$v);
            a$v = how == DOT16 ? dot16(x1, second, a$v) : dot32(x1, second, a$v);
          }
        }
      }
      const d = v128.load32_splat(x, 36);
      for (let $v = 0; $v < 4; $v++) {
        const total = how == DOT16 ? i32x4.dot_i16x8_s(a$v, one) : a$v;
        const scales = vectorOfScales<S>(scalesAt, $v);
        f$v = form == SCALED ? scaledSum(total, d, scales, f$v) : blockSum(total, scales, f$v);
      }
      p += GROUP_BYTES;
      x += form == SCALED ? QB8_BYTES : QD8_BYTES;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function unpackHalf(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack<u16>(scales, codes, tile, group, count, block, how);
}
function unpackBrain(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack<i16>(scales, codes, tile, group, count, block, how);
}
function unpackFloat(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack<f32>(scales, codes, tile, group, count, block, how);
}

// @ts-ignore: decorator
@inline function unpack<S>(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  const low = lowNibbles();
  const eight = i8x16.splat(<i8>ZERO);
  for (let g = group; g < group + count; g++) {
    const from = groupAt<S>(tile, g, block);
    const blockScales = tile + HEADER_BYTES + <usize>(g * GROUP / block) * blockBytes<S>(block);
    for (let $v = 0; $v < 4; $v++) v128.store(scales, vectorOfScales<S>(blockScales, $v), 16 * $v);
    for (let h: usize = 0; h < 2; h++) {
      for (let i: usize = 0; i < 128; i += 32) {
        for (let $v = 0; $v < 2; $v++) {
          let w$v = v128.load(from + 128 * h + i, 16 * $v);
          let first$v = v128.and(w$v, low);
          let second$v = v128.and(i16x8.shr_u(w$v, 4), low);
          if (how == FLOATS) {
            storeFloats(codes, 256 * h + i + 16 * $v, i8x16.sub(first$v, eight));
            storeFloats(codes, 256 * h + i + 16 * $v + 128, i8x16.sub(second$v, eight));
          } else if (how == PLAIN) {
            storeWide(codes, 256 * h + i + 16 * $v, first$v);
            storeWide(codes, 256 * h + i + 16 * $v + 128, second$v);
          } else if (how != WRAP16) {
            v128.store(codes + 256 * h + i, first$v, 16 * $v);
            v128.store(codes + 256 * h + i, second$v, 128 + 16 * $v);
          }
        }
        if (how == WRAP16) {
          storePairs(codes + 2 * i + 16 * h, first0, first1);
          storePairs(codes + 2 * i + 16 * h + 256, second0, second1);
        }
      }
    }
    scales += SCALES_BYTES;
    codes += codesBytes(how);
  }
}

/** Stores the same four columns of rows 0-3 and 4-7 of a half as WRAP16 reads them. */
// @ts-ignore: decorator
@inline function storePairs(to: usize, first: v128, second: v128): void {
  v128.store(to, v128.shuffle<i16>(first, second, 0, 2, 4, 6, 8, 10, 12, 14));
  v128.store(to, v128.shuffle<i16>(first, second, 1, 3, 5, 7, 9, 11, 13, 15), 32);
}
