// GGUF's Q5_0, Q4_1 and Q5_1: codes of 4 or 5 bits in blocks of 32 columns with an f16 scale, those of Q4_1 and Q5_1 with
// an f16 minimum too.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 32 − 1
//   block:            scales: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                          32 bytes
//                     Q4_1, Q5_1: minima: f16, in the same order                                       32 bytes
//                     Q5_0, Q5_1: bit 4 of the codes: rows 0-3 | 4-7 | 8-11 | 12-15                    64 bytes
//                     bits 0-3: rows 0-7 | rows 8-15                                                  256 bytes
//   bit 4 of 4 rows:  row r, byte b, bit s: column 4s + b, s = 0 … 7
//   bits 0-3:         columns 0-3 and 16-19 | 4-7 and 20-23 | …; each: row 0: 4 bytes | row 1 | … | row 7
//                     byte: column c in the low nibble, column c + 16 in the high nibble
//
//   Q5_0:  w[j, c] = scale · (code − 16)         5.5 bits per weight
//   Q4_1:  w[j, c] = scale · code + minimum      5 bits
//   Q5_1:  w[j, c] = scale · code + minimum      6 bits
//   y[t, j] = Σ over blocks of scale · d · Σ_c x[t, c] · code + minimum · d · Σ_c x[t, c], x quantized as qb8 with scale d

import { Bytes, F32, F32Or0, I32, QB5W, QD8, Q4_1W, Q5_1W, Scratch } from "../types";
import {
  codesBytes, dot, DOT16, dot16, DOT32, dot32, dotOfNibbles, even, GROUP, lowBytes, lowNibbles, MINIMA_BYTES, odd, ones, PLAIN, QB8_BYTES, SCALES_BYTES,
  storeWide, unpackScales,
} from "../int8";
import { minimaSum, scaledSum } from "../int8-tiles";
import { gemmMinima, gemmScaled } from "../matrix";
import { half, halfAt, lower, ROWS, storeTransposed, upper } from "../tile";

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_qb5w(y: F32, x: QD8, w: QB5W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmScaled(y, x, w, tileBytes(true, false, k), bias, residual, rows, n, k, GROUP, 16, dotOfNibbles(), scratch, lo, hi, multiply5_0, unpack5_0);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_q4_1w(y: F32, x: QD8, w: Q4_1W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmMinima(y, x, w, tileBytes(false, true, k), bias, residual, rows, n, k, GROUP, zeroOf(false, true), dotOfNibbles(), scratch, lo, hi, multiply4_1, unpack4_1);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_q5_1w(y: F32, x: QD8, w: Q5_1W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmMinima(y, x, w, tileBytes(true, true, k), bias, residual, rows, n, k, GROUP, zeroOf(true, true), dotOfNibbles(), scratch, lo, hi, multiply5_1, unpack5_1);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb5w(y: F32, tokens: I32, w: QB5W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed(true, false, y, tokens, w, d, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_q4_1w(y: F32, tokens: I32, w: Q4_1W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed(false, true, y, tokens, w, d, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_q5_1w(y: F32, tokens: I32, w: Q5_1W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed(true, true, y, tokens, w, d, scale, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of Q5_0[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_qb5w_q5_0(dst: QB5W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(true, false, dst, src, k, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of Q4_1[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_q4_1w_q4_1(dst: Q4_1W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(false, true, dst, src, k, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of Q5_1[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_q5_1w_q5_1(dst: Q5_1W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(true, true, dst, src, k, lo, hi);
}

// The three differ in two things: whether codes have a bit 4, and whether blocks have a minimum.

/** What comes off the codes: a zero point, or in Q5_1 what keeps sums of DOT16 within 16 bits and is given back by the minimum. */
// @ts-ignore: decorator
@inline function zeroOf(five: bool, least: bool): i32 {
  return five ? 16 : 0;
}

/** Where a block's bits 4 start. */
// @ts-ignore: decorator
@inline function highAt(least: bool): usize {
  return least ? 64 : 32;
}

/** Where its bits 0-3 start. */
// @ts-ignore: decorator
@inline function lowAt(five: bool, least: bool): usize {
  return highAt(least) + (five ? 64 : 0);
}

// @ts-ignore: decorator
@inline function blockBytes(five: bool, least: bool): usize {
  return lowAt(five, least) + 256;
}

// @ts-ignore: decorator
@inline function tileBytes(five: bool, least: bool, k: i32): usize {
  return <usize>(k / GROUP) * blockBytes(five, least);
}

// @ts-ignore: decorator
@inline function embed(five: bool, least: bool, y: usize, tokens: usize, w: usize, k: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    let block = w + <usize>(token / ROWS) * tileBytes(five, least, k);
    let to = y + (<usize>t * <usize>k << 2);
    for (let b = 0; b < k; b += GROUP, block += blockBytes(five, least)) {
      const s = half<u16>(block + halfAt(r));
      const m: f32 = least ? half<u16>(block + 32 + halfAt(r)) : 0;
      const lanes = <usize>((r & 3) << 2);
      for (let c = 0; c < GROUP; c++, to += 4) {
        const byte = <i32>load<u8>(block + lowAt(five, least) + vectorAt(r >> 2) + lanes + <usize>(((c & 12) << 3) | (c & 3)));
        let code = (c < 16 ? byte : byte >> 4) & 15;
        if (five) code |= ((<i32>load<u8>(block + highAt(least) + <usize>((r & 12) << 2) + lanes + <usize>(c & 3)) >> (c >> 2)) & 1) << 4;
        const value: f32 = s * <f32>(least ? code : code - zeroOf(five, least));
        store<f32>(to, scale * (least ? value + m : value));
      }
    }
  }
}

/** Offset in bits 0-3 of the first vector of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline function vectorAt(v: i32): usize {
  return <usize>(((v & 2) << 6) | ((v & 1) << 4));
}

// A block in a file: scale, minimum, bit c of 32 for column c, and nibbles as here.
// @ts-ignore: decorator
@inline function pack(five: bool, least: bool, dst: usize, src: usize, k: i32, lo: i32, hi: i32): void {
  const blocks = k / GROUP;
  const bitsAt: usize = least ? 4 : 2;
  const nibblesAt = bitsAt + (five ? 4 : 0);
  const storedBytes = nibblesAt + 16;
  const rowBytes = <usize>blocks * storedBytes;
  for (let j = lo; j < hi; j += ROWS, src += <usize>ROWS * rowBytes) {
    const rows = min(ROWS, hi - j);
    let block = dst + <usize>(j / ROWS) * tileBytes(five, least, k);
    if (rows < ROWS) memory.fill(block, 0, tileBytes(five, least, k));
    for (let b = 0, from = src; b < blocks; b++, from += storedBytes, block += blockBytes(five, least)) {
      for (let r = 0; r < rows; r++) {
        const row = from + <usize>r * rowBytes;
        store<u16>(block + halfAt(r), load<u16>(row));
        if (least) store<u16>(block + halfAt(r), load<u16>(row, 2), 32);
        if (five) storeBits(block + highAt(least) + <usize>(((r & 12) << 2) | ((r & 3) << 2)), load<u32>(row + bitsAt));
      }
      for (let r = 0; r < rows; r += 4) {
        const row = from + <usize>r * rowBytes + nibblesAt;
        for (let $i = 0; $i < 4; $i++) let row$i = r + $i < rows ? v128.load(row + $i * rowBytes) : i8x16.splat(0);
        storeTransposed(block + lowAt(five, least) + vectorAt(r >> 2), 32, row0, row1, row2, row3);
      }
    }
  }
}

/** Bit s of byte b = bit 4s + b of `bits`. */
function storeBits(to: usize, bits: u32): void {
  for (let b: u32 = 0; b < 4; b++) {
    // Every fourth bit, moved together.
    let x = (bits >> b) & 0x11111111;
    x = (x | (x >> 3)) & 0x03030303;
    x = (x | (x >> 6)) & 0x000f000f;
    store<u8>(to + b, x | (x >> 12));
  }
}

// Bits 4 of columns 4s to 4s + 3, and of columns 16 + 4s and so on, in their place above the nibbles.

// @ts-ignore: decorator
@inline function bitsOfFirst(high: v128, s: i32, bit: v128): v128 {
  return v128.and(i16x8.shl(high, 4 - s), bit);
}

// @ts-ignore: decorator
@inline function bitsOfLast(high: v128, s: i32, bit: v128): v128 {
  return v128.and(s ? i16x8.shr_u(high, s) : high, bit);
}

/** f · minimum, as it is added where 16 comes off the codes of Q5_1. */
// @ts-ignore: decorator
@inline function minimum(five: bool, scale: v128, stored: v128): v128 {
  return five ? f32x4.add(stored, f32x4.mul(scale, f32x4.splat(16))) : stored;
}

function multiply5_0(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne(true, false, f, tile, x, groups, how);
}
function multiply4_1(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne(false, true, f, tile, x, groups, how);
}
function multiply5_1(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne(true, true, f, tile, x, groups, how);
}

// @ts-ignore: decorator
@inline function multiplyOne(five: bool, least: bool, f: usize, tile: usize, x: usize, groups: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy(five, least, PLAIN, f, tile, x, groups);
  else if (how == DOT16) multiplyBy(five, least, DOT16, f, tile, x, groups);
  else multiplyBy(five, least, DOT32, f, tile, x, groups);
}

// @ts-ignore: decorator
@inline function multiplyBy(five: bool, least: bool, how: i32, f: usize, block: usize, x: usize, groups: i32): void {
  const zeros = i16x8.splat(<i16>-zeroOf(five, least));
  const low = lowNibbles();
  const bit = i8x16.splat(16);
  const one = ones();
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let x0: v128;
  let x1: v128;
  let codes: v128;
  let high = low;
  for (; groups > 0; groups--) {
    const start = how == DOT16 ? i16x8.mul(v128.load32_splat(x), zeros) : i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
    for (let $v = 0; $v < 4; $v++) let a$v = start;
    const p = block + lowAt(five, least);
    const q = block + highAt(least);
    for (let $s = 0; $s < 4; $s++) {
      x0 = v128.load32_splat(x, 4 + 4 * $s);
      x1 = v128.load32_splat(x, 20 + 4 * $s);
      for (let $v = 0; $v < 4; $v++) {
        codes = v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
        if (five) high = v128.load(q, 16 * $v);
        a$v = add(how, x0, five ? v128.or(v128.and(codes, low), bitsOfFirst(high, $s, bit)) : v128.and(codes, low), a$v);
        codes = v128.and(i16x8.shr_u(codes, 4), low);
        a$v = add(how, x1, five ? v128.or(codes, bitsOfLast(high, $s, bit)) : codes, a$v);
      }
    }
    const d = v128.load32_splat(x, 36);
    const sum = f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(v128.load32_splat(x), one)));
    for (let $v = 0; $v < 4; $v++) {
      const scales = $v % 2 ? upper<u16>(v128.load(block, 16 * ($v / 2))) : lower<u16>(v128.load(block, 16 * ($v / 2)));
      f$v = scaledSum(how == DOT16 ? i32x4.dot_i16x8_s(a$v, one) : a$v, d, scales, f$v);
      if (least) {
        const stored = $v % 2 ? upper<u16>(v128.load(block, 32 + 16 * ($v / 2))) : lower<u16>(v128.load(block, 32 + 16 * ($v / 2)));
        f$v = minimaSum(minimum(five, scales, stored), sum, f$v);
      }
    }
    block += blockBytes(five, least);
    x += QB8_BYTES;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

/** sum + x · codes */
// @ts-ignore: decorator
@inline function add(how: i32, x: v128, codes: v128, sum: v128): v128 {
  if (how == DOT16) return dot16(x, codes, sum);
  if (how == DOT32) return dot32(x, codes, sum);
  return dot(odd(x), i16x8.shr_u(codes, 8), dot(even(x), v128.and(codes, lowBytes()), sum));
}

function unpack5_0(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack(true, false, scales, codes, tile, group, count, how);
}
function unpack4_1(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack(false, true, scales, codes, tile, group, count, how);
}
function unpack5_1(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack(true, true, scales, codes, tile, group, count, how);
}

// @ts-ignore: decorator
@inline function unpack(five: bool, least: bool, scales: usize, codes: usize, tile: usize, group: i32, count: i32, how: i32): void {
  const low = lowNibbles();
  const bit = i8x16.splat(16);
  let from = tile + <usize>group * blockBytes(five, least);
  for (; count > 0; count--, from += blockBytes(five, least)) {
    unpackScales<u16>(scales, from);
    if (least) {
      unpackScales<u16>(scales + SCALES_BYTES, from + 32);
      for (let v: usize = 0; v < SCALES_BYTES; v += 16) v128.store(scales + v, minimum(five, v128.load(scales + v), v128.load(scales + v, 64)), 64);
    }
    for (let v = 0; v < 4; v++) {
      const high = five ? v128.load(from + highAt(least) + (<usize>v << 4)) : low;
      const at: usize = ((v & 2) << 7) | ((v & 1) << 4);
      for (let $s = 0; $s < 4; $s++) {
        const w = v128.load(from + lowAt(five, least) + vectorAt(v), 32 * $s);
        const first = v128.and(w, low);
        const last = v128.and(i16x8.shr_u(w, 4), low);
        storeGroup(codes, at + 32 * $s, five ? v128.or(first, bitsOfFirst(high, $s, bit)) : first, how);
        storeGroup(codes, at + 32 * $s + 128, five ? v128.or(last, bitsOfLast(high, $s, bit)) : last, how);
      }
    }
    scales += least ? SCALES_BYTES + MINIMA_BYTES : SCALES_BYTES;
    codes += codesBytes(how);
  }
}

// @ts-ignore: decorator
@inline function storeGroup(group: usize, i: usize, codes: v128, how: i32): void {
  if (how == PLAIN) storeWide(group, i, codes);
  else v128.store(group + i, codes);
}
