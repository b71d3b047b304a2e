// Weights of 4 bits that are places in a table of 16 levels (levels.ts), in blocks of 32 columns: GGUF's IQ4_NL and MXFP4.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 32 − 1
//   block of IQ4_NL:  scales: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                         32 bytes
//   block of MXFP4:   exponents e: bytes, rows 0-15                                                   16 bytes
//   both:             codes: a group as in levels.ts                                                 256 bytes
//
//   IQ4_NL:  w[j, c] = scale · IQ4[code]            4.5 bits per weight
//   MXFP4:   w[j, c] = 2^(e − 128) · E2M1[code]     4.25
//   y[t, j] = Σ over blocks of scale · d · Σ_c x[t, c] · level, x quantized as qb8 with scale d

import { Bytes, F32, F32Or0, I32, IQ4NLW, MXFP4W, QD8, Scratch } from "../types";
import { codesBytes, DOT32, GROUP, lowNibbles, PLAIN, QB8_BYTES, SCALES_BYTES } from "../int8";
import { scaledSum } from "../int8-tiles";
import { E2M1, GROUP_BYTES, howOf, IQ4, levelOf, Levels, openLevels, packLevels, tableOf, vectorAt, zeroOf } from "../levels";
import { gemmScaled } from "../matrix";
import { lookup } from "../simd";
import { halves } from "../opened-block";
import { addProducts } from "../super-products";
import { half, halfAt, ROWS } from "../tile";

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_iq4nlw(y: F32, x: QD8, w: IQ4NLW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmScaled(y, x, w, tileBytes(IQ4, k), bias, residual, rows, n, k, GROUP, zeroOf(IQ4), howOf(IQ4), scratch, lo, hi, multiplyIq4, unpackIq4);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_mxfp4w(y: F32, x: QD8, w: MXFP4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmScaled(y, x, w, tileBytes(E2M1, k), bias, residual, rows, n, k, GROUP, zeroOf(E2M1), howOf(E2M1), scratch, lo, hi, multiplyE2m1, unpackE2m1);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_iq4nlw(y: F32, tokens: I32, w: IQ4NLW, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed(IQ4, y, tokens, w, d, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_mxfp4w(y: F32, tokens: I32, w: MXFP4W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed(E2M1, y, tokens, w, d, scale, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of IQ4_NL[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_iq4nlw_iq4_nl(dst: IQ4NLW, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(IQ4, dst, src, k, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of MXFP4[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_mxfp4w_mxfp4(dst: MXFP4W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(E2M1, dst, src, k, lo, hi);
}

// The two differ in their levels and in what a scale is.

/** Bytes of a row's scale in a block. */
// @ts-ignore: decorator
@inline function scaleBytes(levels: Levels): usize {
  return levels == IQ4 ? 2 : 1;
}

/** Where a block's codes start. */
// @ts-ignore: decorator
@inline function codesAt(levels: Levels): usize {
  return scaleBytes(levels) << 4;
}

// @ts-ignore: decorator
@inline function blockBytes(levels: Levels): usize {
  return codesAt(levels) + GROUP_BYTES;
}

// @ts-ignore: decorator
@inline function tileBytes(levels: Levels, k: i32): usize {
  return <usize>(k / GROUP) * blockBytes(levels);
}

/** Scales of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline function scalesOf(levels: Levels, block: usize, v: i32): v128 {
  return levels == IQ4 ? halves(block, v) : powers(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(block + (<usize>v << 2)))));
}

/** 2^(e − 128) as f32, e = 0 … 254: of 0 and 1 it is denormal. */
// @ts-ignore: decorator
@inline function powers(e: v128): v128 {
  const one = i32x4.splat(1);
  const normal = i32x4.shl(i32x4.sub(e, one), 23);
  return i32x4.max_s(normal, i32x4.shl(i32x4.add(v128.and(e, one), one), 21));
}

function embed(levels: Levels, y: usize, tokens: usize, w: usize, d: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    let block = w + <usize>(token / ROWS) * tileBytes(levels, d);
    let to = y + (<usize>t * <usize>d << 2);
    for (let b = 0; b < d; b += GROUP, block += blockBytes(levels)) {
      const s = levels == IQ4 ? half<u16>(block + halfAt(r)) : f32x4.extract_lane(powers(i32x4.splat(load<u8>(block + r))), 0);
      for (let c = 0; c < GROUP; c++, to += 4) store<f32>(to, scale * (s * <f32>levelOf(levels, block + codesAt(levels), r, c)));
    }
  }
}

function pack(levels: Levels, dst: usize, src: usize, k: i32, lo: i32, hi: i32): void {
  const storedBytes = scaleBytes(levels) + 16;
  const rowBytes = <usize>(k / GROUP) * storedBytes;
  for (let j = lo; j < hi; j += ROWS, src += <usize>ROWS * rowBytes) {
    const rows = min(ROWS, hi - j);
    let block = dst + <usize>(j / ROWS) * tileBytes(levels, k);
    if (rows < ROWS) memory.fill(block, 0, tileBytes(levels, k));
    for (let from = src; from < src + rowBytes; from += storedBytes, block += blockBytes(levels)) {
      for (let r = 0; r < rows; r++) {
        const row = from + <usize>r * rowBytes;
        if (levels == IQ4) store<u16>(block + halfAt(r), load<u16>(row));
        else store<u8>(block + r, load<u8>(row));
      }
      packLevels(block + codesAt(levels), from + scaleBytes(levels), rowBytes, rows);
    }
  }
}

function multiplyIq4(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne(IQ4, f, tile, x, groups, how);
}
function multiplyE2m1(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne(E2M1, f, tile, x, groups, how);
}

function multiplyOne(levels: Levels, f: usize, tile: usize, x: usize, groups: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD || how == PLAIN) multiplyBy(PLAIN, levels, f, tile, x, groups);
  else multiplyBy(DOT32, levels, f, tile, x, groups);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, levels: Levels, f: usize, block: usize, x: usize, groups: i32): void {
  const zeros = i16x8.splat(<i16>-zeroOf(levels));
  const table = tableOf(levels);
  const low = lowNibbles();
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let x0: v128;
  let x1: v128;
  let codes: v128;
  for (; groups > 0; groups--) {
    const start = i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
    for (let $v = 0; $v < 4; $v++) let a$v = start;
    const p = block + codesAt(levels);
    for (let s: usize = 0; s < 16; s += 4) {
      x0 = v128.load32_splat(x + s, 4);
      x1 = v128.load32_splat(x + s, 20);
      for (let $v = 0; $v < 4; $v++) {
        codes = v128.load(p + (s << 3), 128 * ($v / 2) + 16 * ($v % 2));
        a$v = addProducts(x0, lookup(table, v128.and(codes, low)), a$v, how);
        a$v = addProducts(x1, lookup(table, v128.and(i16x8.shr_u(codes, 4), low)), a$v, how);
      }
    }
    const d = v128.load32_splat(x, 36);
    for (let $v = 0; $v < 4; $v++) f$v = scaledSum(a$v, d, scalesOf(levels, block, $v), f$v);
    block += blockBytes(levels);
    x += QB8_BYTES;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function unpackIq4(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack(IQ4, scales, codes, tile, group, count, how);
}
function unpackE2m1(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack(E2M1, scales, codes, tile, group, count, how);
}

function unpack(levels: Levels, scales: usize, codes: usize, tile: usize, group: i32, count: i32, how: i32): void {
  let from = tile + <usize>group * blockBytes(levels);
  for (; count > 0; count--, from += blockBytes(levels)) {
    for (let $v = 0; $v < 4; $v++) v128.store(scales, scalesOf(levels, from, $v), 16 * $v);
    openLevels(codes, levels, from + codesAt(levels), how);
    scales += SCALES_BYTES;
    codes += codesBytes(how);
  }
}
