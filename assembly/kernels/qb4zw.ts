// Weights of 4 bits in blocks of `block` columns (a multiple of 32) with a scale and a zero point each: compressed-tensors'
// asymmetric W4A16, torchao's asymmetric int4. Scales have the type that they have in the file.
//
//   tile of 16 rows:  sums R: f32, rows 0-15 | block 0 | block 1 | … | block k / block − 1, filled up to 16 bytes
//   block:            scales (scales.ts) | zero points | group of 32 columns | group | …
//   zero points:      z + 8, z = −8 … 7; byte i: row i in the low nibble, row 8 + i in the high one         8 bytes
//   group:            codes q + 8, q = −8 … 7; nibbles.ts has the diagram                                 256 bytes
//
//   w[j, c] = scale · (q − z)          4 + 20 / block bits per weight, or 4 + 36 / block with f32 scales, and 32 per row
//   R[j] = Σ_c w[j, c]
//   x as f32:  y[t, j] = Σ over groups of scale · Σ_c x[t, c] · (q[j, c] − z)
//   x as qb8:  y[t, j] = Σ over groups of scale · d · (Σ_c x[t, c] · q[j, c] − z · Σ_c x[t, c])
//   x as qd8:  y[t, j] = s · (Σ over groups of scale · (Σ_c x[t, c] · q[j, c] − z · Σ_c x[t, c]) − zero point of x · R[j])

import { Bytes, F32, F32Or0, I32, QB4ZW, QD8, Scratch } from "../types";
import { byte } from "../float32";
import {
  codesBytes, dot, DOT16, dot16, DOT32, dot32, dotOfNibbles, even, FLOATS, GROUP, lowestNibbles, lowNibbles, MINIMA_BYTES, odd, ones, PLAIN, QB8_BYTES,
  QD8_BYTES, SCALES_BYTES, storeFloats, storeWide,
} from "../int8";
import { scaledSum, scaleOf } from "../int8-tiles";
import { gemmFloats, gemmZeros } from "../matrix";
import { BYTES, GROUP_BYTES, nibbleOf, packNibbles, PAIRS, sumOfNibbles, vectorAt } from "../nibbles";
import { Blocks, blocksOf, bytesOf, columnsOf, openScales, packScale, rowAt, scaleAt, scalesBytes, scalesOfRows, typeOf } from "../scales";
import { madd } from "../simd";
import { RESULT_BYTES, ROWS } from "../tile";

/** A tile's sums. */
const SUMS_BYTES: usize = 64;
/** A block's zero points. */
const ZEROS_BYTES: usize = 8;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qb4zw(y: F32, x: F32, w: QB4ZW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scale_type: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const blocks = blocksOf(block, scale_type);
  gemmFloats(y, x, w, tileBytes(k, blocks), bias, residual, rows, n, k, blocks, scratch, lo, hi, multiplyFloats, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_qb4zw(y: F32, x: QD8, w: QB4ZW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scale_type: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const blocks = blocksOf(block, scale_type);
  gemmZeros(true, y, x, w, tileBytes(k, blocks), bias, residual, rows, n, k, blocks, dotOfNibbles(), scratch, lo, hi, multiplyScaled, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qb4zw(y: F32, x: QD8, w: QB4ZW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scale_type: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const blocks = blocksOf(block, scale_type);
  gemmZeros(false, y, x, w, tileBytes(k, blocks), bias, residual, rows, n, k, blocks, dotOfNibbles(), scratch, lo, hi, multiplyBlocks, unpack);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb4zw(y: F32, tokens: I32, w: QB4ZW, d: i32, block: i32, scale_type: i32, scale: f32, lo: i32, hi: i32): void {
  const blocks = blocksOf(block, scale_type);
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const tile = w + <usize>(token / ROWS) * tileBytes(d, blocks);
    let to = y + (<usize>t * <usize>d << 2);
    for (let b = 0; b < d / block; b++) {
      let p = blockAt(tile, b, blocks);
      const s = scaleAt(scale_type, p + rowAt(scale_type, r));
      const z = <i32>i8x16.extract_lane_u(i8x16.swizzle(zerosOfBlock(p, blocks), i8x16.splat(<i8>r)), 0);
      p += headerBytes(blocks);
      for (let c = 0; c < block; c += GROUP, p += GROUP_BYTES) {
        for (let i = 0; i < GROUP; i++, to += 4) store<f32>(to, scale * (s * <f32>(nibbleOf(p, r, i) - z)));
      }
    }
  }
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix [n, k] of int8 codes −8 … 7 with scales and int8 zero points −8 … 7, both
 * [n, k / block]; codes, scales and zeros hold those rows. Units are rows, in multiples of 16.
 */
export function pack_qb4zw_i8(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, scale_type: i32, lo: i32, hi: i32): void {
  pack(BYTES, dst, codes, scales, zeros, k, blocksOf(block, scale_type), lo, hi);
}

/** The same with codes + 8, eight to an i32 from its low end. */
export function pack_qb4zw_packed(dst: QB4ZW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, scale_type: i32, lo: i32, hi: i32): void {
  pack(PAIRS, dst, codes, scales, zeros, k, blocksOf(block, scale_type), lo, hi);
}

function pack(source: i32, dst: usize, codes: usize, scales: usize, zeros: usize, k: i32, blocks: Blocks, lo: i32, hi: i32): void {
  const step: usize = source == BYTES ? 32 : 16;
  const block = columnsOf(blocks);
  const type = typeOf(blocks);
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>(j / ROWS) * tileBytes(k, blocks);
    if (rows < ROWS) memory.fill(tile, 0, tileBytes(k, blocks));
    else v128.store(tile + tileBytes(k, blocks) - 16, i8x16.splat(0));
    for (let r = 0; r < rows; r++) {
      let to = tile + SUMS_BYTES;
      for (let b = 0; b < k / block; b++, scales += bytesOf(type), zeros++, to += blockBytes(blocks)) {
        packScale(type, to, r, scales);
        const z = to + scalesBytes(type) + <usize>(r & 7);
        const zero = <i32>load<i8>(zeros) + 8;
        store<u8>(z, <u8>(r < 8 ? zero : <i32>load<u8>(z) | (zero << 4)));
      }
    }
    packNibbles(source, tile + SUMS_BYTES + headerBytes(blocks), headerBytes(blocks), codes, step, rows, k, block);
    codes += <usize>ROWS * <usize>(k / GROUP) * step;
    storeSums(tile, k, blocks);
  }
}

/** R of a tile: a product and a sum per block, in order. */
function storeSums(tile: usize, k: i32, blocks: Blocks): void {
  const block = columnsOf(blocks);
  const type = typeOf(blocks);
  for (let v = 0; v < 4; v++) {
    let sums = f32x4.splat(0);
    for (let b = 0; b < k / block; b++) {
      let p = blockAt(tile, b, blocks);
      const scales = scalesOfRows(type, p, v);
      // All bytes of a lane are the row's zero point.
      let total = i32x4.mul(i32x4.shr_u(zerosOf(zerosOfBlock(p, blocks), v), 24), i32x4.splat(-block));
      p += headerBytes(blocks);
      for (let c = 0; c < block; c += GROUP, p += GROUP_BYTES) total = i32x4.add(total, sumOfNibbles(p, 4 * v));
      sums = f32x4.add(sums, f32x4.mul(f32x4.convert_i32x4_s(total), scales));
    }
    v128.store(tile + (<usize>v << 4), sums);
  }
}

/** Bytes in front of a block's groups. */
// @ts-ignore: decorator
@inline function headerBytes(blocks: Blocks): usize {
  return scalesBytes(typeOf(blocks)) + ZEROS_BYTES;
}

// @ts-ignore: decorator
@inline function blockBytes(blocks: Blocks): usize {
  return headerBytes(blocks) + (<usize>columnsOf(blocks) << 3);
}

function tileBytes(k: i32, blocks: Blocks): usize {
  return (SUMS_BYTES + <usize>(k / columnsOf(blocks)) * blockBytes(blocks) + 15) & ~15;
}

/** Where block b of a tile starts. */
// @ts-ignore: decorator
@inline function blockAt(tile: usize, b: i32, blocks: Blocks): usize {
  return tile + SUMS_BYTES + <usize>b * blockBytes(blocks);
}

/** The zero points of a block, rows 0-15, a byte each. */
// @ts-ignore: decorator
@inline function zerosOfBlock(block: usize, blocks: Blocks): v128 {
  const pairs = v128.load64_zero(block + scalesBytes(typeOf(blocks)));
  const low = lowNibbles();
  return v128.shuffle<i64>(v128.and(pairs, low), v128.and(i16x8.shr_u(pairs, 4), low), 0, 2);
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

function multiplyFloats(f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks, how: i32): void {
  const block = columnsOf(blocks);
  const low = lowNibbles();
  let p = tile + SUMS_BYTES;
  for (; groups > 0; groups -= block / GROUP) {
    openScales(typeOf(blocks), f + RESULT_BYTES, p);
    const zeros = zerosOfBlock(p, blocks);
    p += headerBytes(blocks);
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
      for (let $v = 0; $v < 4; $v++) v128.store(f, madd(a$v, v128.load(f, 64 + 16 * $v), v128.load(f, 16 * $v)), 16 * $v);
    }
  }
}

function multiplyScaled(f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks, how: i32): void {
  multiplyOne(QB8_BYTES, f, tile, x, groups, blocks, how);
}
function multiplyBlocks(f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks, how: i32): void {
  multiplyOne(QD8_BYTES, f, tile, x, groups, blocks, how);
}

function multiplyOne(inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy(PLAIN, inputBytes, f, tile, x, groups, blocks);
  else if (how == DOT16) multiplyBy(DOT16, inputBytes, f, tile, x, groups, blocks);
  else multiplyBy(DOT32, inputBytes, f, tile, x, groups, blocks);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks): void {
  const block = columnsOf(blocks);
  const low = how == PLAIN ? lowestNibbles() : lowNibbles();
  const one = ones();
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let x0: v128;
  let x1: v128;
  let codes: v128;
  let p = tile + SUMS_BYTES;
  for (; groups > 0; groups -= block / GROUP) {
    openScales(typeOf(blocks), f + RESULT_BYTES, p);
    const zeros = zerosOfBlock(p, blocks);
    p += headerBytes(blocks);
    for (let $v = 0; $v < 4; $v++) v128.store(f, pairsOf(zerosOf(zeros, $v)), 128 + 16 * $v);
    for (let c = 0; c < block; c += GROUP) {
      const sums = v128.load32_splat(x);
      for (let $v = 0; $v < 4; $v++) let a$v = how == DOT16 ? i16x8.mul(sums, v128.load(f, 128 + 16 * $v)) : i32x4.dot_i16x8_s(sums, v128.load(f, 128 + 16 * $v));
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
      for (let $v = 0; $v < 4; $v++) f$v = scaledSum(how == DOT16 ? i32x4.dot_i16x8_s(a$v, one) : a$v, d, v128.load(f, 64 + 16 * $v), f$v);
      p += GROUP_BYTES;
      x += inputBytes;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function unpack(scales: usize, codes: usize, tile: usize, group: i32, count: i32, blocks: Blocks, how: i32): void {
  const block = columnsOf(blocks);
  const low = lowNibbles();
  for (let g = group; g < group + count; g++) {
    const header = blockAt(tile, g * GROUP / block, blocks);
    const from = header + headerBytes(blocks) + <usize>(g * GROUP % block << 3);
    openScales(typeOf(blocks), scales, header);
    scales += SCALES_BYTES;
    const zeros = zerosOfBlock(header, blocks);
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
