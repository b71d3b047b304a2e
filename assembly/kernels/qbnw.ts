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
import { codeOf, codesOf, columnsBytes, openColumns, OPENED_BYTES, openedAt, openValues, packColumns, packValue, valueOf, valuesBytes } from "../bit-planes";
import {
  codesBytes, dot, DOT32, dot32, dotOfBytes, dotsAreSigned, even, FLOATS, GROUP, lowBytes, MINIMA_BYTES, odd, PLAIN, QB8_BYTES, QD8_BYTES, scaledSum, scaleOf,
  SCALES_BYTES, storeWide, sumOfBytes,
} from "../int8";
import { gemmFloats, gemmZeros } from "../matrix";
import { bytesOf, openScales, packScale, rowAt, scaleAt, scalesBytes, ScaleType } from "../scales";
import { madd } from "../simd";
import { ROWS } from "../tile";

const SUMS_BYTES: usize = 64;

/** Columns of a block << 8 | whether there are zero points << 6 | type of scales << 4 | bits of codes: what matrix.ts hands on. */
type Shape = i32;

// @ts-ignore: decorator
@inline function shapeOf(bits: i32, block: i32, zeros: i32, type: ScaleType): Shape {
  return (block << 8) | (zeros << 6) | (type << 4) | bits;
}

// @ts-ignore: decorator
@inline function bitsOf(shape: Shape): i32 {
  return shape & 15;
}

// @ts-ignore: decorator
@inline function typeOf(shape: Shape): ScaleType {
  return (shape >> 4) & 3;
}

// @ts-ignore: decorator
@inline function hasZeros(shape: Shape): bool {
  return (shape & 64) != 0;
}

// @ts-ignore: decorator
@inline function columnsOf(shape: Shape): i32 {
  return shape >> 8;
}

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

/** What codes and zero points are stored with: q + middle. */
// @ts-ignore: decorator
@inline function middle(bits: i32): i32 {
  return 1 << (bits - 1);
}

/** Columns of a block in inputs, with the gap behind it. */
// @ts-ignore: decorator
@inline function wideOf(block: i32): i32 {
  return (block + GROUP - 1) & -GROUP;
}

// @ts-ignore: decorator
@inline function headerBytes(shape: Shape): usize {
  return scalesBytes(typeOf(shape)) + (hasZeros(shape) ? valuesBytes(bitsOf(shape)) : 0);
}

/** Where group g of a tile starts. */
// @ts-ignore: decorator
@inline function groupAt(tile: usize, g: i32, shape: Shape): usize {
  const begun = ((g + 1) * GROUP + columnsOf(shape) - 1) / columnsOf(shape);
  return tile + SUMS_BYTES + <usize>g * columnsBytes(bitsOf(shape)) + <usize>begun * headerBytes(shape);
}

/** Where the header of block b of a tile starts. */
// @ts-ignore: decorator
@inline function headerAt(tile: usize, b: i32, shape: Shape): usize {
  const g = b * columnsOf(shape) / GROUP;
  return tile + SUMS_BYTES + <usize>g * columnsBytes(bitsOf(shape)) + <usize>b * headerBytes(shape);
}

function tileBytes(k: i32, shape: Shape): usize {
  const block = columnsOf(shape);
  const groups = (k / wideOf(block) * block + GROUP - 1) / GROUP;
  return (groupAt(0, groups - 1, shape) + columnsBytes(bitsOf(shape)) + 15) & ~15;
}

/** How to multiply codes of so many bits. */
// @ts-ignore: decorator
@inline function dotOf(bits: i32): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return PLAIN;
  return bits == 8 ? dotOfBytes() : DOT32;
}

/** Whether codes lose their offset of 128 as they are opened, for products that take bytes as signed. */
// @ts-ignore: decorator
@inline function isSigned8(bits: i32, how: i32): bool {
  return bits == 8 && how == DOT32 && dotsAreSigned();
}

/** Zero points of a block, rows 0-15, a byte each, with the offset that codes have. */
function zerosOfBlock(header: usize, shape: Shape): v128 {
  const bits = bitsOf(shape);
  return hasZeros(shape) ? openValues(bits, header + scalesBytes(typeOf(shape))) : i8x16.splat(<i8>middle(bits));
}

/** Zero points of rows 4v to 4v + 3 of 16, each in all bytes of a 32-bit lane. */
// @ts-ignore: decorator
@inline function zerosOf(rows: v128, v: i32): v128 {
  return i8x16.swizzle(rows, i8x16.add(i8x16(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), i8x16.splat(<i8>(4 * v))));
}

/** Writes what a group's sums start with: −zero twice for each row, less `offset`. */
function storePairs(to: usize, zeros: v128, offset: i32): void {
  for (let v = 0; v < 4; v++) v128.store(to + (<usize>v << 4), i16x8.sub(i16x8.splat(<i16>offset), i16x8.shr_u(zerosOf(zeros, v), 8)));
}

/** Opens the scales of group g of inputs, and what its sums start with; returns its zero points. */
function openHeader(scales: usize, pairs: usize, tile: usize, g: i32, shape: Shape, how: i32): v128 {
  const b = g * GROUP / wideOf(columnsOf(shape));
  const header = headerAt(tile, b, shape);
  const zeros = zerosOfBlock(header, shape);
  openScales(typeOf(shape), scales, header);
  if (how != FLOATS) storePairs(pairs, zeros, isSigned8(bitsOf(shape), how) ? 128 : 0);
  return zeros;
}

/** Writes the codes of group g of inputs, a byte each; in gaps they equal the zero points. */
function openCodes(opened: usize, tile: usize, g: i32, zeros: v128, shape: Shape, how: i32): void {
  const bits = bitsOf(shape);
  if (columnsOf(shape) % GROUP == 0) openColumns(bits, opened, groupAt(tile, g, shape));
  else openAcross(opened, tile, g, zeros, shape);
  if (!isSigned8(bits, how)) return;
  const flip = i8x16.splat(-128);
  for (let i: usize = 0; i < OPENED_BYTES; i += 16) v128.store(opened + i, v128.xor(v128.load(opened + i), flip));
}

/** The same of a group that begins anywhere in the columns of a tile, and may end in a gap. */
function openAcross(opened: usize, tile: usize, g: i32, zeros: v128, shape: Shape): void {
  const block = columnsOf(shape);
  const wide = wideOf(block);
  const first = g * GROUP % wide;
  const column = g * GROUP / wide * block + first;
  const shift = (column & 3) << 3;
  for (let s = 0; s < 8; s++) {
    const count = block - first - 4 * s;
    const from = column / 4 + s;
    const needsNext = shift != 0 && count > 4 - (column & 3);
    const here = i32x4.splat(count >= 4 ? -1 : count <= 0 ? 0 : (1 << (count << 3)) - 1);
    for (let v = 0; v < 4; v++) {
      const zero = zerosOf(zeros, v);
      let codes = zero;
      if (count > 0) codes = i32x4.shr_u(fourColumns(tile, v, from, shape), shift);
      if (needsNext) codes = v128.or(codes, i32x4.shl(fourColumns(tile, v, from + 1, shape), 32 - shift));
      v128.store(opened + openedAt(v, s), v128.bitselect(codes, zero, here));
    }
  }
}

/** Columns 4s to 4s + 3 of rows 4v to 4v + 3 of a tile. */
// @ts-ignore: decorator
@inline function fourColumns(tile: usize, v: i32, s: i32, shape: Shape): v128 {
  return codesOf(bitsOf(shape), groupAt(tile, s >> 3, shape), v, s & 7);
}

/** Column i of 4 rows' codes less their zero points, as f32. */
// @ts-ignore: decorator
@inline function floatsOf(codes: v128, i: i32, zeros: v128): v128 {
  return f32x4.sub(f32x4.convert_i32x4_s(i32x4.shr_u(i32x4.shl(codes, 24 - 8 * i), 24)), zeros);
}

/** Zero points of rows 4v to 4v + 3 as f32. */
// @ts-ignore: decorator
@inline function floatZeros(zeros: v128, v: i32): v128 {
  return f32x4.convert_i32x4_s(i32x4.shr_u(zerosOf(zeros, v), 24));
}

// Behind f, while one row is multiplied.
const ONE_SCALES: usize = 64;
const ONE_PAIRS: usize = 128;
const ONE_CODES: usize = 192;

function multiplyFloats(f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; g++, x += 128) {
    const zeros = openHeader(f + ONE_SCALES, f + ONE_PAIRS, tile, g, shape, how);
    openCodes(f + ONE_CODES, tile, g, zeros, shape, how);
    for (let $v = 0; $v < 4; $v++) {
      let z$v = floatZeros(zeros, $v);
      let a$v = f32x4.splat(0);
    }
    for (let s: usize = 0; s < 8; s++) {
      for (let $i = 0; $i < 4; $i++) let x$i = v128.load32_splat(x + (s << 4), 4 * $i);
      for (let $v = 0; $v < 4; $v++) {
        const codes = v128.load(f + (s << 5), 192 + 256 * ($v / 2) + 16 * ($v % 2));
        for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, floatsOf(codes, $i, z$v), a$v);
      }
    }
    for (let $v = 0; $v < 4; $v++) f$v = madd(a$v, v128.load(f, 64 + 16 * $v), f$v);
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function multiplyScaled(f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  multiplyIntegers(QB8_BYTES, f, tile, x, groups, shape, how);
}
function multiplyBlocks(f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  multiplyIntegers(QD8_BYTES, f, tile, x, groups, shape, how);
}

function multiplyIntegers(inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, shape: Shape, how: i32): void {
  if (how == PLAIN || !ASC_FEATURE_RELAXED_SIMD) multiplyBy(PLAIN, inputBytes, f, tile, x, groups, shape);
  else multiplyBy(DOT32, inputBytes, f, tile, x, groups, shape);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, inputBytes: usize, f: usize, tile: usize, x: usize, groups: i32, shape: Shape): void {
  const isOpen = bitsOf(shape) == 8 && columnsOf(shape) % GROUP == 0 && !isSigned8(8, how);
  const low = lowBytes();
  let xs: v128;
  let codes: v128;
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; g++, x += inputBytes) {
    const zeros = openHeader(f + ONE_SCALES, f + ONE_PAIRS, tile, g, shape, how);
    let from = f + ONE_CODES;
    if (isOpen) from = groupAt(tile, g, shape);
    else openCodes(from, tile, g, zeros, shape, how);
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
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function unpack(scales: usize, codes: usize, tile: usize, group: i32, count: i32, shape: Shape, how: i32): void {
  for (let g = group; g < group + count; g++) {
    const zeros = openHeader(scales, scales + SCALES_BYTES, tile, g, shape, how);
    // Opened where they are not overwritten before they are read: in the upper half of what PLAIN writes, behind what FLOATS do.
    const opened = how == FLOATS ? codes + codesBytes(FLOATS) : how == PLAIN ? codes + OPENED_BYTES : codes;
    openCodes(opened, tile, g, zeros, shape, how);
    if (how == FLOATS) {
      for (let v = 0; v < 4; v++) {
        const zero = floatZeros(zeros, v);
        for (let s = 0; s < 8; s++) {
          const four = v128.load(opened + openedAt(v, s));
          const to = codes + (<usize>s << 8) + (<usize>v << 4);
          for (let $i = 0; $i < 4; $i++) v128.store(to, floatsOf(four, $i, zero), 64 * $i);
        }
      }
    } else if (how == PLAIN) {
      for (let i: usize = 0; i < OPENED_BYTES; i += 16) storeWide(codes, i, v128.load(opened + i));
    }
    scales += how == FLOATS ? SCALES_BYTES : SCALES_BYTES + MINIMA_BYTES;
    codes += codesBytes(how);
  }
}
