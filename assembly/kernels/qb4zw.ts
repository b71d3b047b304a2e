// Weights of 4 bits in blocks of `block` columns (a multiple of 32) with a scale and a zero point each: compressed-tensors'
// asymmetric W4A16, torchao's asymmetric int4. Scales of all types are kept as f32, so that one kernel serves them.
//
//   tile of 16 rows:  sums R: f32, rows 0-15 | block 0 | block 1 | … | block k / block − 1
//   block:            scales: f32, rows 0-15 | zero points: bytes z + 8, z = −8 … 7, rows 0-15 | group of 32 columns | group | …
//   group:            codes q + 8, q = −8 … 7; nibbles.ts has the diagram                                        256 bytes
//
//   w[j, c] = scale · (q − z)          4 + 40 / block bits per weight, and 32 per row
//   R[j] = Σ_c w[j, c]
//   x as f32:  y[t, j] = Σ over groups of scale · Σ_c x[t, c] · (q[j, c] − z)
//   x as qb8:  y[t, j] = Σ over groups of scale · d · (Σ_c x[t, c] · q[j, c] − z · Σ_c x[t, c])
//   x as qd8:  y[t, j] = s · (Σ over groups of scale · (Σ_c x[t, c] · q[j, c] − z · Σ_c x[t, c]) − zero point of x · R[j])

import { Bytes, F32, F32Or0, I32, QB4ZW, QD8, Scratch } from "../types";
import { byte } from "../float32";
import {
  codesBytes, dot, DOT16, dot16, DOT32, dot32, dotOfNibbles, even, FLOATS, GROUP, lowestNibbles, lowNibbles, MINIMA_BYTES, odd, ones, PLAIN, QB8_BYTES, QD8_BYTES,
  scaledSum, scaleOf, SCALES_BYTES, storeFloats, storeWide,
} from "../int8";
import { gemmFloats, gemmZeros } from "../matrix";
import { BYTES, GROUP_BYTES, nibbleOf, packNibbles, PAIRS, sumOfNibbles, vectorAt } from "../nibbles";
import { BRAIN, bytesOf, FLOAT, HALF, scaleAt, ScaleType } from "../scales";
import { madd } from "../simd";
import { ROWS } from "../tile";

const HEADER_BYTES: usize = 64;
/** Bytes in front of a block's groups. */
const BLOCK_HEADER_BYTES: usize = SCALES_BYTES + <usize>ROWS;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qb4zw_f32(y: F32, x: F32, w: QB4ZW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmFloats(y, x, w, tileBytes(k, block), bias, residual, rows, n, k, block, scratch, lo, hi, multiplyFloats, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_qb4zw_f32(y: F32, x: QD8, w: QB4ZW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmZeros(true, y, x, w, tileBytes(k, block), bias, residual, rows, n, k, block, dotOfNibbles(), scratch, lo, hi, multiplyScaled, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qb4zw_f32(y: F32, x: QD8, w: QB4ZW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmZeros(false, y, x, w, tileBytes(k, block), bias, residual, rows, n, k, block, dotOfNibbles(), scratch, lo, hi, multiplyBlocks, unpack);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb4zw_f32(y: F32, tokens: I32, w: QB4ZW, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    let p = w + <usize>(token / ROWS) * tileBytes(d, block) + HEADER_BYTES;
    let to = y + (<usize>t * <usize>d << 2);
    for (let c = 0; c < d; ) {
      const s = load<f32>(p + (<usize>r << 2));
      const z = <i32>load<u8>(p + r, SCALES_BYTES);
      p += BLOCK_HEADER_BYTES;
      for (let end = c + block; c < end; c += GROUP, p += GROUP_BYTES) {
        for (let i = 0; i < GROUP; i++, to += 4) store<f32>(to, scale * (s * <f32>(nibbleOf(p, r, i) - z)));
      }
    }
  }
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix [n, k] of int8 codes −8 … 7 with bf16 scales and int8 zero points −8 … 7, both
 * [n, k / block]; codes, scales and zeros hold those rows. Units are rows, in multiples of 16.
 */
export function pack_qb4zw_f32_i8_bf16(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(BYTES, dst, codes, BRAIN, scales, zeros, k, block, lo, hi);
}

/** The same with f16 scales. */
export function pack_qb4zw_f32_i8_f16(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(BYTES, dst, codes, HALF, scales, zeros, k, block, lo, hi);
}

/** The same with f32 scales. */
export function pack_qb4zw_f32_i8_f32(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(BYTES, dst, codes, FLOAT, scales, zeros, k, block, lo, hi);
}

/** The same with codes + 8, eight to an i32 from its low end, and bf16 scales. */
export function pack_qb4zw_f32_packed_bf16(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(PAIRS, dst, codes, BRAIN, scales, zeros, k, block, lo, hi);
}

/** The same with f16 scales. */
export function pack_qb4zw_f32_packed_f16(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(PAIRS, dst, codes, HALF, scales, zeros, k, block, lo, hi);
}

/** The same with f32 scales. */
export function pack_qb4zw_f32_packed_f32(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(PAIRS, dst, codes, FLOAT, scales, zeros, k, block, lo, hi);
}

function pack(source: i32, dst: usize, codes: usize, type: ScaleType, scales: usize, zeros: usize, k: i32, block: i32, lo: i32, hi: i32): void {
  const step: usize = source == BYTES ? 32 : 16;
  const blocks = k / block;
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>(j / ROWS) * tileBytes(k, block);
    if (rows < ROWS) memory.fill(tile, 0, tileBytes(k, block));
    for (let r = 0; r < rows; r++) {
      let to = tile + HEADER_BYTES;
      for (let b = 0; b < blocks; b++, scales += bytesOf(type), zeros++, to += blockBytes(block)) {
        store<f32>(to + (<usize>r << 2), scaleAt(type, scales));
        store<u8>(to + r, load<u8>(zeros) + 8, SCALES_BYTES);
      }
    }
    packNibbles(source, tile + HEADER_BYTES + BLOCK_HEADER_BYTES, BLOCK_HEADER_BYTES, codes, step, rows, k, block);
    codes += <usize>ROWS * <usize>(k / GROUP) * step;
    storeSums(tile, k, block);
  }
}

/** R of a tile: a product and a sum per block, in order. */
function storeSums(tile: usize, k: i32, block: i32): void {
  for (let v = 0; v < 4; v++) {
    let sums = f32x4.splat(0);
    let p = tile + HEADER_BYTES;
    for (let c = 0; c < k; ) {
      const scales = v128.load(p + (<usize>v << 4));
      // All bytes of a lane are the row's zero point.
      let total = i32x4.mul(i32x4.shr_u(zerosOf(v128.load(p, SCALES_BYTES), v), 24), i32x4.splat(-block));
      p += BLOCK_HEADER_BYTES;
      for (let end = c + block; c < end; c += GROUP, p += GROUP_BYTES) total = i32x4.add(total, sumOfNibbles(p, 4 * v));
      sums = f32x4.add(sums, f32x4.mul(f32x4.convert_i32x4_s(total), scales));
    }
    v128.store(tile + (<usize>v << 4), sums);
  }
}

// @ts-ignore: decorator
@inline function blockBytes(block: i32): usize {
  return BLOCK_HEADER_BYTES + (<usize>block << 3);
}

function tileBytes(k: i32, block: i32): usize {
  return HEADER_BYTES + <usize>(k / block) * blockBytes(block);
}

/** Zero points of rows 4v to 4v + 3 of 16, each in all bytes of a 32-bit lane. */
// @ts-ignore: decorator
@inline function zerosOf(rows: v128, v: i32): v128 {
  if (v == 0) return v128.shuffle<i8>(rows, rows, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  if (v == 1) return v128.shuffle<i8>(rows, rows, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
  if (v == 2) return v128.shuffle<i8>(rows, rows, 8, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11);
  return v128.shuffle<i8>(rows, rows, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15);
}

/** −zero twice in each lane, as sums of inputs are multiplied by it. */
// @ts-ignore: decorator
@inline function pairsOf(zeros: v128): v128 {
  return i16x8.neg(i16x8.shr_u(zeros, 8));
}

function multiplyFloats(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  const low = lowNibbles();
  let p = tile + HEADER_BYTES;
  for (; groups > 0; groups -= block / GROUP) {
    const scales = p;
    const zeros = v128.load(p, SCALES_BYTES);
    p += BLOCK_HEADER_BYTES;
    for (let $v = 0; $v < 4; $v++) let z$v = zerosOf(zeros, $v);
    for (let c = 0; c < block; c += GROUP, p += GROUP_BYTES, x += 128) {
      for (let $v = 0; $v < 4; $v++) let a$v = f32x4.splat(0);
      // Columns in order: all low nibbles first.
      for (let shift = 0, from = x; shift < 8; shift += 4) {
        for (let s: usize = 0; s < 128; s += 32, from += 16) {
          for (let $i = 0; $i < 4; $i++) let x$i = v128.load32_splat(from, 4 * $i);
          for (let $v = 0; $v < 4; $v++) {
            const codes = i8x16.sub(v128.and(i16x8.shr_u(v128.load(p + s, 128 * ($v / 2) + 16 * ($v % 2)), shift), low), z$v);
            for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, byte(codes, $i), a$v);
          }
        }
      }
      for (let $v = 0; $v < 4; $v++) v128.store(f, madd(a$v, v128.load(scales, 16 * $v), v128.load(f, 16 * $v)), 16 * $v);
    }
  }
}

function multiplyScaled(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne(QB8_BYTES, f, tile, x, groups, block, how);
}
function multiplyBlocks(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne(QD8_BYTES, f, tile, x, groups, block, how);
}

function multiplyOne(inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy(PLAIN, inputBytes, f, tile, x, groups, block);
  else if (how == DOT16) multiplyBy(DOT16, inputBytes, f, tile, x, groups, block);
  else multiplyBy(DOT32, inputBytes, f, tile, x, groups, block);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, block: i32): void {
  const low = how == PLAIN ? lowestNibbles() : lowNibbles();
  const one = ones();
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let x0: v128;
  let x1: v128;
  let codes: v128;
  let p = tile + HEADER_BYTES;
  for (; groups > 0; groups -= block / GROUP) {
    const scales = p;
    const zeros = v128.load(p, SCALES_BYTES);
    p += BLOCK_HEADER_BYTES;
    for (let $v = 0; $v < 4; $v++) v128.store(f, pairsOf(zerosOf(zeros, $v)), 64 + 16 * $v);
    for (let c = 0; c < block; c += GROUP) {
      const sums = v128.load32_splat(x);
      for (let $v = 0; $v < 4; $v++) let a$v = how == DOT16 ? i16x8.mul(sums, v128.load(f, 64 + 16 * $v)) : i32x4.dot_i16x8_s(sums, v128.load(f, 64 + 16 * $v));
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
      const d = scaleOf(x + 36, inputBytes);
      for (let $v = 0; $v < 4; $v++) f$v = scaledSum(how == DOT16 ? i32x4.dot_i16x8_s(a$v, one) : a$v, d, v128.load(scales, 16 * $v), f$v);
      p += GROUP_BYTES;
      x += inputBytes;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function unpack(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  const low = lowNibbles();
  for (let g = group; g < group + count; g++) {
    const header = tile + HEADER_BYTES + <usize>(g * GROUP / block) * blockBytes(block);
    const from = header + BLOCK_HEADER_BYTES + <usize>(g * GROUP % block << 3);
    memory.copy(scales, header, SCALES_BYTES);
    scales += SCALES_BYTES;
    const zeros = v128.load(header, SCALES_BYTES);
    for (let v = 0; v < 4; v++) {
      const zero = zerosOf(zeros, v);
      if (how != FLOATS) v128.store(scales + (<usize>v << 4), pairsOf(zero));
      const at: usize = ((v & 2) << 7) | ((v & 1) << 4);
      for (let s: usize = 0; s < 128; s += 32) {
        const w = v128.load(from + vectorAt(4 * v) + s);
        storeCodes(codes, at + s, v128.and(w, low), zero, how);
        storeCodes(codes, at + s + 128, v128.and(i16x8.shr_u(w, 4), low), zero, how);
      }
    }
    if (how != FLOATS) scales += MINIMA_BYTES;
    codes += codesBytes(how);
  }
}

/** Stores what starts at offset i of a group's codes as `how` reads it; as floats, zero points come off at once. */
// @ts-ignore: decorator
@inline function storeCodes(group: usize, i: usize, codes: v128, zero: v128, how: i32): void {
  if (how == FLOATS) storeFloats(group, i, i8x16.sub(codes, zero));
  else if (how == PLAIN) storeWide(group, i, codes);
  else v128.store(group + i, codes);
}
