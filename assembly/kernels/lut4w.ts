// Weights of 4 bits that are places in a table T of 16 f32, in blocks of `block` columns (a multiple of 8) with a scale
// each: bitsandbytes' NF4 and FP4. With double quantization the scales are bytes that are places in a table M, and an outer
// scale belongs to a power of two of them, counted through the rows.
//
//   matrix:           tile | tile | … | tables
//   tile of 16 rows:  scales of block 0 | of block 1 | … | columns 0-7 | columns 8-15 | …
//   scales:           f32, rows 0-15 (64 bytes), or in lut4w_u8 bytes, rows 0-15
//   8 columns:        rows 0-3 | 4-7 | 8-11 | 12-15                                                   16 bytes each
//   byte 4c + r:      code of row r, column c in the low nibble, of column c + 4 in the high nibble
//   tables:           T: f32[16]                                                                      64 bytes
//     lut4w_u8 too:   M: f32[256] | offset | blocks per outer scale (f32) | 0 | 0                   1040 bytes
//                     outer scales: f32, of the first blocks of the matrix | of the next | …
//
//   lut4w_f32:  w[j, c] = T[code] · scale                              4 + 32 / block bits per weight
//   lut4w_u8:   scale = M[byte] · outer + offset                       4 + 8 / block, and 32 per outer scale
//   y[t, j] = Σ_c x[t, c] · w[j, c]
//
// w is rounded to f32. Where the model that was quantized is f16 or bf16, its definition rounds once more, to that type.
// Kernels do not: it would double the work of one row, for a difference of at most 2^-9 of each weight.

import { Bytes, F32, F32Or0, I32, LUT4W, Scratch } from "../types";
import { multiplyColumns } from "../float32";
import { lowNibbles } from "../int8";
import { SPARE_ROWS } from "../int8-tiles";
import { lookup, madd } from "../simd";
import { finish, RESULT_BYTES, ROWS } from "../tile";

/** Bytes of T, and where the other tables lie behind it. */
const TABLE_BYTES: usize = 64;
const MAP: usize = 64;
const OFFSET: usize = 1088;
const PER_OUTER: usize = 1092;
const OUTER: usize = 1104;

/** Columns whose codes lie together. */
const OCTET: i32 = 8;
const OCTET_BYTES: usize = 64;

// Scratch memory: sums, 16 per input row | bytes 0 of T's values | bytes 1 | 2 | 3 | a block's scales | weights of 256 columns.
/** Input rows that go over a stretch of a tile. */
const MAX_ROWS: i32 = 256;
const TABLE: usize = <usize>(MAX_ROWS + SPARE_ROWS) * RESULT_BYTES;
const SCALES: usize = TABLE + TABLE_BYTES;
const WEIGHTS: usize = SCALES + 64;
/** Columns that are unpacked at once: 16 KiB. */
const MAX_COLUMNS: i32 = 256;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_lut4w_f32(y: F32, x: F32, w: LUT4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemm(false, y, x, w, bias, residual, rows, n, k, block, scratch, lo, hi);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_lut4w_u8(y: F32, x: F32, w: LUT4W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemm(true, y, x, w, bias, residual, rows, n, k, block, scratch, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]; w has n rows. Units are rows of y. */
export function embed_lut4w_f32(y: F32, tokens: I32, w: LUT4W, n: i32, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embed(false, y, tokens, w, n, d, block, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]; w has n rows. Units are rows of y. */
export function embed_lut4w_u8(y: F32, tokens: I32, w: LUT4W, n: i32, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  embed(true, y, tokens, w, n, d, block, scale, lo, hi);
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix [n, k] of codes, two to a byte from its high end, with f32 scales
 * [n, k / block]; codes and scales hold those rows. Units are rows, in multiples of 16.
 */
export function pack_lut4w_f32_bitsandbytes(dst: LUT4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(false, dst, codes, scales, k, block, lo, hi);
}

/** The same with bytes as scales. */
export function pack_lut4w_u8_bitsandbytes(dst: LUT4W, codes: Bytes, scales: Bytes, n: i32, k: i32, block: i32, lo: i32, hi: i32): void {
  pack(true, dst, codes, scales, k, block, lo, hi);
}

/** Bytes of a block's scales. */
// @ts-ignore: decorator
@inline function scalesBytes(nested: bool): usize {
  return nested ? 16 : 64;
}

/** Where a tile's codes start. */
// @ts-ignore: decorator
@inline function codesAt(nested: bool, k: i32, block: i32): usize {
  return <usize>(k / block) * scalesBytes(nested);
}

// @ts-ignore: decorator
@inline function tileBytes(nested: bool, k: i32, block: i32): usize {
  return codesAt(nested, k, block) + <usize>(k / OCTET) * OCTET_BYTES;
}

/** Where the tables of a matrix of n rows lie. */
// @ts-ignore: decorator
@inline function tablesOf(nested: bool, w: usize, n: i32, k: i32, block: i32): usize {
  return w + <usize>((n + ROWS - 1) / ROWS) * tileBytes(nested, k, block);
}

/** Scale of row r of a tile, given where the scales of its block lie and how many blocks lie before it in the matrix. */
// @ts-ignore: decorator
@inline function scaleOf(nested: bool, tables: usize, scales: usize, r: i32, before: u32, shift: u32): f32 {
  if (!nested) return load<f32>(scales + (<usize>r << 2));
  const inner = load<f32>(tables + (<usize>load<u8>(scales + r) << 2), MAP);
  return inner * load<f32>(tables + (<usize>(before >> shift) << 2), OUTER) + load<f32>(tables, OFFSET);
}

/** Binary logarithm of the blocks per outer scale. */
// @ts-ignore: decorator
@inline function shiftOf(nested: bool, tables: usize): u32 {
  return nested ? ctz(<u32>load<f32>(tables, PER_OUTER)) : 0;
}

function gemm(nested: bool, y: usize, x: usize, w: usize, bias: usize, residual: usize, rows: i32, n: i32, k: i32, block: i32, scratch: usize, lo: i32, hi: i32): void {
  const tables = tablesOf(nested, w, n, k, block);
  const shift = shiftOf(nested, tables);
  const rowBytes = <usize>k << 2;
  const perRow = k / block;
  for (let i: usize = 0; i < TABLE_BYTES; i++) store<u8>(scratch + ((i & 3) << 4) + (i >> 2), load<u8>(tables + i), TABLE);
  for (let t = 0; t < rows; t += MAX_ROWS) {
    const count = min(MAX_ROWS, rows - t);
    for (let j = lo; j < hi; j += ROWS) {
      const tile = w + <usize>(j / ROWS) * tileBytes(nested, k, block);
      const present = min(ROWS, n - j);
      let codes = tile + codesAt(nested, k, block);
      let input = x + <usize>t * rowBytes;
      memory.fill(scratch, 0, <usize>count * RESULT_BYTES);
      memory.fill(scratch + SCALES, 0, 64);
      for (let b = 0; b < perRow; b++) {
        const scales = tile + <usize>b * scalesBytes(nested);
        for (let r = 0, before = j * perRow + b; r < present; r++, before += perRow) {
          store<f32>(scratch + (<usize>r << 2), scaleOf(nested, tables, scales, r, before, shift), SCALES);
        }
        for (let rest = block; rest > 0; rest -= MAX_COLUMNS) {
          const columns = min(rest, MAX_COLUMNS);
          if (rows == 1) {
            multiplyOne(scratch, codes, input, columns);
          } else {
            unpack(scratch, codes, columns);
            multiplyColumns(scratch, scratch + WEIGHTS, input, rowBytes, count, columns);
          }
          codes += <usize>columns << 3;
          input += <usize>columns << 2;
        }
      }
      finish(y, scratch, bias, residual, t, count, j, n);
    }
  }
}

// Four values of T in a vector: their bytes 0, 1, 2 and 3 are looked up apart and put side by side.

/** f[0 .. 16) += Σ_c x[c] · w[c, :] over some columns of a block. */
function multiplyOne(f: usize, codes: usize, x: usize, columns: i32): void {
  const low = lowNibbles();
  for (let $i = 0; $i < 4; $i++) let t$i = v128.load(f, TABLE + 16 * $i);
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  // Assigned again and again, so that Binaryen does not compute them where they are used, twice.
  let places: v128;
  for (let $i = 0; $i < 4; $i++) let p$i: v128;
  let first: v128;
  let above: v128;
  let scales: v128;
  for (; columns > 0; columns -= OCTET, codes += OCTET_BYTES, x += 32) {
    for (let $h = 0; $h < 2; $h++) {
      for (let $v = 0; $v < 4; $v++) {
        places = nibblesOf($h, v128.load(codes, 16 * $v), low);
        for (let $i = 0; $i < 4; $i++) p$i = lookup(t$i, places);
        scales = v128.load(f, SCALES + 16 * $v);
        for (let $u = 0; $u < 2; $u++) {
          first = halvesOf($u, p0, p1);
          above = halvesOf($u, p2, p3);
          f$v = madd(v128.load32_splat(x, 16 * $h + 8 * $u), f32x4.mul(wholeOf(0, first, above), scales), f$v);
          f$v = madd(v128.load32_splat(x, 16 * $h + 8 * $u + 4), f32x4.mul(wholeOf(1, first, above), scales), f$v);
        }
      }
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

/** Writes the weights of some columns of a block as float32.ts multiplies them. */
function unpack(scratch: usize, codes: usize, columns: i32): void {
  const low = lowNibbles();
  for (let $i = 0; $i < 4; $i++) let t$i = v128.load(scratch, TABLE + 16 * $i);
  for (let v: usize = 0; v < 64; v += 16) {
    const scales = v128.load(scratch + v, SCALES);
    let to = scratch + v;
    for (let from = codes + v, end = from + (<usize>columns << 3); from < end; from += OCTET_BYTES) {
      for (let $h = 0; $h < 2; $h++) {
        const places$h = nibblesOf($h, v128.load(from), low);
        for (let $i = 0; $i < 4; $i++) let p$h_$i = lookup(t$i, places$h);
        for (let $u = 0; $u < 2; $u++) {
          const first = halvesOf($u, p$h_0, p$h_1);
          const above = halvesOf($u, p$h_2, p$h_3);
          v128.store(to, f32x4.mul(wholeOf(0, first, above), scales), WEIGHTS + 256 * $h + 128 * $u);
          v128.store(to, f32x4.mul(wholeOf(1, first, above), scales), WEIGHTS + 256 * $h + 128 * $u + 64);
        }
      }
      to += 512;
    }
  }
}

/** Codes of columns 0-3 (h = 0) or 4-7. */
// @ts-ignore: decorator
@inline function nibblesOf(h: i32, codes: v128, low: v128): v128 {
  return v128.and(h ? i16x8.shr_u(codes, 4) : codes, low);
}

/** Bytes 0-7 (u = 0) or 8-15 of two vectors, side by side. */
// @ts-ignore: decorator
@inline function halvesOf(u: i32, low: v128, high: v128): v128 {
  if (u) return v128.shuffle<i8>(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return v128.shuffle<i8>(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

/** Halves 0-3 (u = 0) or 4-7 of two vectors, side by side. */
// @ts-ignore: decorator
@inline function wholeOf(u: i32, low: v128, high: v128): v128 {
  if (u) return v128.shuffle<i16>(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
  return v128.shuffle<i16>(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
}

function embed(nested: bool, y: usize, tokens: usize, w: usize, n: i32, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  const tables = tablesOf(nested, w, n, d, block);
  const shift = shiftOf(nested, tables);
  const perRow = d / block;
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const tile = w + <usize>(token / ROWS) * tileBytes(nested, d, block);
    const codes = tile + codesAt(nested, d, block) + <usize>((r >> 2 << 4) | (r & 3));
    let to = y + (<usize>t * <usize>d << 2);
    for (let c = 0; c < d; c++, to += 4) {
      const b = c / block;
      const s = scaleOf(nested, tables, tile + <usize>b * scalesBytes(nested), r, token * perRow + b, shift);
      const byte = <usize>load<u8>(codes + <usize>((c >> 3 << 6) | ((c & 3) << 2)));
      store<f32>(to, scale * (s * load<f32>(tables + ((byte >> (c & 4) & 15) << 2))));
    }
  }
}

function pack(nested: bool, dst: usize, codes: usize, scales: usize, k: i32, block: i32, lo: i32, hi: i32): void {
  const perRow = k / block;
  const rowBytes = <usize>(k >> 1);
  const scaleBytes = scalesBytes(nested) >> 4;
  const low = lowNibbles();
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>(j / ROWS) * tileBytes(nested, k, block);
    if (rows < ROWS) memory.fill(tile, 0, tileBytes(nested, k, block));
    for (let r = 0; r < rows; r++) {
      let to = tile + <usize>r * scaleBytes;
      for (let b = 0; b < perRow; b++, scales += scaleBytes, to += scalesBytes(nested)) {
        if (nested) store<u8>(to, load<u8>(scales));
        else store<u32>(to, load<u32>(scales));
      }
    }
    for (let r = 0; r < rows; r += 4) {
      let to = tile + codesAt(nested, k, block) + (<usize>r << 2);
      for (let c: usize = 0; c < rowBytes; c += 4, to += OCTET_BYTES) {
        // Even columns in the high nibbles, odd ones in the low.
        let stored = i32x4.splat(0);
        for (let $i = 0; $i < 4; $i++) if (r + $i < rows) stored = v128.load32_lane(codes + $i * rowBytes + c, stored, $i);
        const evens = v128.and(i16x8.shr_u(stored, 4), low);
        const odds = v128.and(stored, low);
        const first = v128.shuffle<i8>(evens, odds, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
        const last = v128.shuffle<i8>(evens, odds, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
        v128.store(to, v128.or(first, i16x8.shl(last, 4)));
      }
      codes += rowBytes << 2;
    }
  }
}
