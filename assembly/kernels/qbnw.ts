// Weights of 1 to 8 bits in blocks of `block` columns with a scale each, and a zero point or none: torchao's and
// compressed-tensors' integers of all widths and groups, but for those that have a layout of their own. Scales have the type that
// they have in the file; codes and zero points take their own bits.
//
//   tile of 16 rows:  sums R: f32, rows 0-15 | headers of the blocks that begin in group 0 | group 0 | headers of those that begin
//                     in group 1 | group 1 | …, filled up to 16 bytes
//   header:           scales (scales.ts) | zero points z + h, where there are any: 16 values of `bits` bits (bit-planes.ts)
//   group:            codes q + h of 32 columns (bit-planes.ts); q, z = −h … h − 1, h = 2^(bits − 1)
//
// What is past the last row or column is zero.
//
//   w[j, c] = scale · (q − z)          bits + scale / block bits per weight, and 32 per row
//   R[j] = Σ_c w[j, c]
//   x as f32:  y[t, j] = Σ over groups of scale · Σ_c x[t, c] · (q[j, c] − z)
//   x as qb8:  y[t, j] = Σ over groups of scale · d · (Σ_c x[t, c] · q[j, c] − z · Σ_c x[t, c])
//   x as qd8:  y[t, j] = s · (Σ over groups of scale · (Σ_c x[t, c] · q[j, c] − z · Σ_c x[t, c]) − zero point of x · R[j])
//
// Inputs come in groups of 32 columns of one block. Where blocks are no multiple of 32 columns, inputs have gaps behind each, and
// groups as they are multiplied are put together from two as they lie here. So k is always a multiple of 32.

import { Bytes, F32, F32Or0, I32, QBNW, QD8, Scratch } from "../types";
import { codeOf, OPENED_BYTES, openedAt, packColumns, packValue, valueOf } from "../bit-planes";
import { bitsOf, columnsOf, groupAt, hasZeros, headerAt, isSigned8, middle, openCodes, openHeader, Shape, shapeOf, tileBytes, typeOf, wideOf, zerosOf } from "../bit-tiles";
import { byte } from "../float32";
import {
  codesBytes, dot, DOT32, dot32, dotOfBytes, dotOfNibbles, even, FLOATS, GROUP, lowBytes, MINIMA_BYTES, odd, PLAIN, QB8_BYTES, QD8_BYTES, SCALES_BYTES,
  storeWide, sumOfBytes,
} from "../int8";
import { scaledSum, scaleOf } from "../int8-tiles";
import { gemmFloats, gemmZeros } from "../matrix";
import { bytesOf, packScale, rowAt, scaleAt, scalesBytes } from "../scales";
import { madd } from "../simd";
import { ROWS } from "../tile";

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qbnw(y: F32, x: F32, w: QBNW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, bits: i32, has_zeros: i32, scale_type: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const shape = shapeOf(bits, block, has_zeros, scale_type);
  gemmFloats(y, x, w, tileBytes(k, shape), bias, residual, rows, n, k, shape, scratch, lo, hi, multiplyFloats, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_qbnw(y: F32, x: QD8, w: QBNW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, bits: i32, has_zeros: i32, scale_type: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const shape = shapeOf(bits, block, has_zeros, scale_type);
  gemmZeros(true, y, x, w, tileBytes(k, shape), bias, residual, rows, n, k, shape, dotOf(bits), scratch, lo, hi, multiplyScaled, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qbnw(y: F32, x: QD8, w: QBNW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, bits: i32, has_zeros: i32, scale_type: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const shape = shapeOf(bits, block, has_zeros, scale_type);
  gemmZeros(false, y, x, w, tileBytes(k, shape), bias, residual, rows, n, k, shape, dotOf(bits), scratch, lo, hi, multiplyBlocks, unpack);
}

/** y[t, :] = scale · w[tokens[t], :], 0 in the gaps behind blocks. Units are rows of y. */
export function embed_qbnw(y: F32, tokens: I32, w: QBNW, d: i32, block: i32, bits: i32, has_zeros: i32, scale_type: i32, scale: f32, lo: i32, hi: i32): void {
  const shape = shapeOf(bits, block, has_zeros, scale_type);
  const wide = wideOf(block);
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const tile = w + <usize>(token / ROWS) * tileBytes(d, shape);
    let to = y + (<usize>t * <usize>d << 2);
    for (let b = 0; b < d / wide; b++) {
      const header = headerAt(tile, b, shape);
      const s = scaleAt(scale_type, header + rowAt(scale_type, r));
      const z = has_zeros ? valueOf(bits, header + scalesBytes(scale_type), r) : middle(bits);
      for (let i = 0; i < wide; i++, to += 4) {
        const c = b * block + i;
        const q = i < block ? codeOf(bits, groupAt(tile, c / GROUP, shape), r, c % GROUP) - z : 0;
        store<f32>(to, scale * (s * <f32>q));
      }
    }
  }
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix of int8 codes of `bits` bits with scales [n, k / w], blocks of w columns with the
 * gaps behind them; codes [n, k / w · block] and scales hold those rows. Units are rows, in multiples of 16.
 */
export function pack_qbnw_i8(dst: QBNW, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, bits: i32, scale_type: i32, lo: i32, hi: i32): void {
  pack(dst, codes, scales, 0, k, shapeOf(bits, block, 0, scale_type), lo, hi);
}

/** The same with int8 zero points of `bits` bits [n, k / w], those rows as well. */
export function pack_qbnw_i8_zeros(dst: QBNW, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, block: i32, bits: i32, scale_type: i32, lo: i32, hi: i32): void {
  pack(dst, codes, scales, zeros, k, shapeOf(bits, block, 1, scale_type), lo, hi);
}

function pack(dst: usize, codes: usize, scales: usize, zeros: usize, k: i32, shape: Shape, lo: i32, hi: i32): void {
  const bits = bitsOf(shape);
  const type = typeOf(shape);
  const block = columnsOf(shape);
  const blocks = k / wideOf(block);
  const columns = blocks * block;
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>(j / ROWS) * tileBytes(k, shape);
    memory.fill(tile, 0, tileBytes(k, shape));
    packCodes(tile, codes, rows, columns, shape);
    for (let r = 0; r < rows; r++) {
      let sum: f32 = 0;
      for (let b = 0; b < blocks; b++, codes += block, scales += bytesOf(type)) {
        const header = headerAt(tile, b, shape);
        packScale(type, header, r, scales);
        let total = sumOfBytes(codes, block);
        if (hasZeros(shape)) {
          const zero = <i32>load<i8>(zeros++);
          packValue(bits, header + scalesBytes(type), r, zero + middle(bits));
          total -= block * zero;
        }
        sum += <f32>total * scaleAt(type, scales);
      }
      store<f32>(tile + (<usize>r << 2), sum);
    }
  }
}

/** Packs the codes of a tile. */
function packCodes(tile: usize, codes: usize, rows: i32, columns: i32, shape: Shape): void {
  const bits = bitsOf(shape);
  const half = middle(bits);
  const up = i8x16.splat(<i8>half);
  for (let r = 0; r < rows; r += 4) {
    for (let g = 0; g < columns; g += GROUP) {
      const planes = groupAt(tile, g / GROUP, shape);
      for (let $h = 0; $h < 2; $h++) {
        const c$h = g + 16 * $h;
        const from$h = codes + <usize>r * <usize>columns + <usize>c$h;
        for (let $i = 0; $i < 4; $i++) let row$h_$i = i8x16.add(sixteen(from$h + $i * <usize>columns, r + $i < rows ? columns - c$h : 0, -half), up);
        let low$h = v128.shuffle<i32>(row$h_0, row$h_1, 0, 4, 1, 5);
        let high$h = v128.shuffle<i32>(row$h_2, row$h_3, 0, 4, 1, 5);
        let s$h_0 = v128.shuffle<i64>(low$h, high$h, 0, 2);
        let s$h_1 = v128.shuffle<i64>(low$h, high$h, 1, 3);
        low$h = v128.shuffle<i32>(row$h_0, row$h_1, 2, 6, 3, 7);
        high$h = v128.shuffle<i32>(row$h_2, row$h_3, 2, 6, 3, 7);
        let s$h_2 = v128.shuffle<i64>(low$h, high$h, 0, 2);
        let s$h_3 = v128.shuffle<i64>(low$h, high$h, 1, 3);
      }
      packColumns(bits, planes, r >> 2, s0_0, s0_1, s0_2, s0_3, s1_0, s1_1, s1_2, s1_3);
    }
  }
}

/** 16 bytes, the first `count` of them from memory; the others are `rest`. */
function sixteen(from: usize, count: i32, rest: i32): v128 {
  if (count >= 16) return v128.load(from);
  let bytes = i8x16.splat(<i8>rest);
  for (let i = count - 1; i >= 0; i--) {
    bytes = v128.shuffle<i8>(bytes, bytes, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
    bytes = v128.load8_lane(from + i, bytes, 0);
  }
  return bytes;
}

/** How to multiply codes of so many bits. */
// @ts-ignore: decorator
@inline function dotOf(bits: i32): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return PLAIN;
  return bits == 8 ? dotOfBytes() : bits > 4 ? DOT32 : dotOfNibbles();
}

/** Whether codes less their zero points fit into a byte, which makes floats of them sooner. */
// @ts-ignore: decorator
@inline function isNarrow(shape: Shape): bool {
  return bitsOf(shape) < 8 || !hasZeros(shape);
}

/** Column i of 4 rows' codes less their zero points, as f32. */
// @ts-ignore: decorator
@inline function floatOf(codes: v128, i: i32, zeros: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_u(i32x4.shl(codes, 24 - 8 * i), 24), zeros));
}

/** Zero points of rows 4v to 4v + 3 as floatOf takes them. */
// @ts-ignore: decorator
@inline function wideZeros(zeros: v128, v: i32): v128 {
  return i32x4.shr_u(zerosOf(zeros, v), 24);
}

// Behind f, while one row is multiplied.
const ONE_SCALES: usize = 64;
const ONE_PAIRS: usize = 128;
const ONE_CODES: usize = 192;

/** Whether codes can be multiplied as they lie. */
// @ts-ignore: decorator
@inline function isOpen(shape: Shape, how: i32): bool {
  return bitsOf(shape) == 8 && columnsOf(shape) % GROUP == 0 && !isSigned8(8, how);
}

function multiplyFloats(f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  if (isNarrow(shape)) multiplyFloatsBy(true, f, tile, x, groups, shape);
  else multiplyFloatsBy(false, f, tile, x, groups, shape);
}

// @ts-ignore: decorator
@inline function multiplyFloatsBy(narrow: bool, f: usize, tile: usize, x: usize, groups: i32, shape: Shape): void {
  const open = isOpen(shape, FLOATS);
  const perBlock = wideOf(columnsOf(shape)) / GROUP;
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; ) {
    const zeros = openHeader(f + ONE_SCALES, 0, tile, g, shape, FLOATS);
    for (let $v = 0; $v < 4; $v++) let z$v = narrow ? zerosOf(zeros, $v) : wideZeros(zeros, $v);
    let from = open ? groupAt(tile, g, shape) : f + ONE_CODES;
    for (const end = g + perBlock; g < end; g++, x += 128) {
      if (!open) openCodes(from, tile, g, shape, FLOATS);
      for (let $v = 0; $v < 4; $v++) let a$v = f32x4.splat(0);
      for (let s: usize = 0; s < 8; s++) {
        for (let $i = 0; $i < 4; $i++) let x$i = v128.load32_splat(x + (s << 4), 4 * $i);
        for (let $v = 0; $v < 4; $v++) {
          const stored = v128.load(from + (s << 5), 256 * ($v / 2) + 16 * ($v % 2));
          const codes = narrow ? i8x16.sub(stored, z$v) : stored;
          for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, narrow ? byte(codes, $i) : floatOf(codes, $i, z$v), a$v);
        }
      }
      for (let $v = 0; $v < 4; $v++) f$v = madd(a$v, v128.load(f, 64 + 16 * $v), f$v);
      if (open) from += OPENED_BYTES;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function multiplyScaled(f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  multiplyIntegers(QB8_BYTES, f, tile, x, groups, shape, how);
}
function multiplyBlocks(f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  multiplyIntegers(QD8_BYTES, f, tile, x, groups, shape, how);
}

/** What is multiplied by DOT16 where there are many rows is here by DOT32: opening takes longer. */
function multiplyIntegers(inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  if (how == PLAIN || !ASC_FEATURE_RELAXED_SIMD) multiplyBy(PLAIN, inputBytes, f, tile, x, groups, shape);
  else multiplyBy(DOT32, inputBytes, f, tile, x, groups, shape);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, shape: Shape): void {
  const open = isOpen(shape, how);
  const perBlock = wideOf(columnsOf(shape)) / GROUP;
  const low = lowBytes();
  let xs: v128;
  let codes: v128;
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; ) {
    openHeader(f + ONE_SCALES, f + ONE_PAIRS, tile, g, shape, how);
    let from = open ? groupAt(tile, g, shape) : f + ONE_CODES;
    for (const end = g + perBlock; g < end; g++, x += inputBytes) {
      if (!open) openCodes(from, tile, g, shape, how);
      const sums = v128.load32_splat(x);
      for (let $v = 0; $v < 4; $v++) let a$v = i32x4.dot_i16x8_s(sums, v128.load(f, 128 + 16 * $v));
      for (let $s = 0; $s < 8; $s++) {
        xs = v128.load32_splat(x, 4 + 4 * $s);
        if (how == PLAIN) {
          const evenX = even(xs);
          const oddX = odd(xs);
          for (let $v = 0; $v < 4; $v++) {
            codes = v128.load(from, 32 * $s + 256 * ($v / 2) + 16 * ($v % 2));
            a$v = dot(evenX, v128.and(codes, low), a$v);
            a$v = dot(oddX, i16x8.shr_u(codes, 8), a$v);
          }
        } else {
          for (let $v = 0; $v < 4; $v++) a$v = dot32(xs, v128.load(from, 32 * $s + 256 * ($v / 2) + 16 * ($v % 2)), a$v);
        }
      }
      const d = scaleOf(x + 36, inputBytes);
      for (let $v = 0; $v < 4; $v++) f$v = scaledSum(a$v, d, v128.load(f, 64 + 16 * $v), f$v);
      if (open) from += OPENED_BYTES;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function unpack(scales: usize, codes: usize, tile: usize, group: i32, count: i32, shape: Shape, how: i32): void {
  for (let g = group; g < group + count; g++) {
    const zeros = openHeader(scales, scales + SCALES_BYTES, tile, g, shape, how);
    // Opened where they are not overwritten before they are read: in the upper half of what PLAIN writes, or behind what FLOATS
    // do, who leave half of the room for codes (matrix.ts).
    const opened = how == FLOATS ? codes + codesBytes(FLOATS) : how == PLAIN ? codes + OPENED_BYTES : codes;
    openCodes(opened, tile, g, shape, how);
    if (how == FLOATS) {
      for (let v = 0; v < 4; v++) {
        const zero = wideZeros(zeros, v);
        for (let s = 0; s < 8; s++) {
          const four = v128.load(opened + openedAt(v, s));
          const to = codes + (<usize>s << 8) + (<usize>v << 4);
          for (let $i = 0; $i < 4; $i++) v128.store(to, floatOf(four, $i, zero), 64 * $i);
        }
      }
    } else if (how == PLAIN) {
      for (let i: usize = 0; i < OPENED_BYTES; i += 16) storeWide(codes, i, v128.load(opened + i));
    }
    scales += how == FLOATS ? SCALES_BYTES : SCALES_BYTES + MINIMA_BYTES;
    codes += codesBytes(how);
  }
}
