// Weights of 8 bits with a scale per row: torchao's, compressed-tensors' and bitsandbytes' int8. qc8w has no zero points,
// which is to say that they are 0; qc8zw has one per row.
//
//   tile of 16 rows:  scales: f32, rows 0-15 | sums R: i32, rows 0-15 | zero points: int8, rows 0-15 | group of 32 columns | group | …
//                                                                                               144 + 512 bytes per group
//   group:            rows 0-7 | rows 8-15
//   8 rows:           columns 0-3 | 4-7 | … | 28-31; each: row 0: 4 bytes | row 1 | … | row 7
//   code:             q + 128, q = −128 … 127; a last group with fewer columns is filled up with q = 0
//
//   w[j, c] = scale[j] · (q − z[j])    8 bits per weight, and 72 per row
//   R[j] = Σ_c q[j, c] − z[j]
//   x as f32:  y[t, j] = Σ over groups of scale[j] · Σ_c x[t, c] · (q[j, c] − z[j])
//   x as qd8:  y[t, j] = s · scale[j] · (Σ_c x[t, c] · q[j, c] − z[j] · Σ_c x[t, c] − zero point of x · R[j])
//
// compressed-tensors defines w as that product rounded to the scale's type, which kernels do not do: see qb4w.ts.

import { Bytes, F32, F32Or0, I32, QC8W, QD8, Scratch } from "../types";
import { byte } from "../float32";
import { codesBytes, dot, dot32, dotOfBytes, dotsAreSigned, even, FLOATS, GROUP, lowBytes, odd, PLAIN, QD8_BYTES, SCALES_BYTES, sumOfBytes, unpackBytes } from "../int8";
import { gemmFloats, gemmIntegers } from "../matrix";
import { BRAIN, bytesOf, FLOAT, HALF, scaleAt, ScaleType } from "../scales";
import { madd } from "../simd";
import { ROWS, storeTransposed } from "../tile";

/** Where a tile's zero points start. */
const ZEROS: usize = 128;
const HEADER_BYTES: usize = 144;
const GROUP_BYTES: usize = 512;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qc8w(y: F32, x: F32, w: QC8W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmFloats(y, x, w, tileBytes(k), bias, residual, rows, n, k, 0, scratch, lo, hi, multiplyOne, unpack);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_qc8zw(y: F32, x: F32, w: QC8W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmFloats(y, x, w, tileBytes(k), bias, residual, rows, n, k, 0, scratch, lo, hi, multiplyDifferences, unpackDifferences);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qd8_qc8w(y: F32, x: QD8, w: QC8W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const zero = dotsAreSigned() ? 0 : 128;
  gemmIntegers(y, x, w, tileBytes(k), bias, residual, rows, n, k, zero, dotOfBytes(), scratch, lo, hi, multiplyOne, unpack);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qc8w(y: F32, tokens: I32, w: QC8W, d: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const row = y + (<usize>t * <usize>d << 2);
    const tile = w + <usize>(token / ROWS) * tileBytes(d);
    const s = load<f32>(tile + (<usize>r << 2));
    const z = <i32>load<i8>(tile + r, ZEROS);
    for (let c = 0; c < d; c++) {
      store<f32>(row + (<usize>c << 2), scale * (s * <f32>(<i32>load<u8>(tile + codeAt(r, c)) - 128 - z)));
    }
  }
}

/**
 * dst = the tiles of rows [lo, hi) of a matrix [n, k] of int8 codes with f32 scales [n]; codes and scales hold those rows.
 * Units are rows, in multiples of 16.
 */
export function pack_qc8w_i8_f32(dst: QC8W, codes: Bytes, scales: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(dst, codes, FLOAT, scales, 0, k, lo, hi);
}

/** The same with bf16 scales. */
export function pack_qc8w_i8_bf16(dst: QC8W, codes: Bytes, scales: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(dst, codes, BRAIN, scales, 0, k, lo, hi);
}

/** The same with f16 scales. */
export function pack_qc8w_i8_f16(dst: QC8W, codes: Bytes, scales: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(dst, codes, HALF, scales, 0, k, lo, hi);
}

/** The same with f32 scales and int8 zero points [n]; zeros holds those of the rows. */
export function pack_qc8zw_i8_f32(dst: QC8W, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(dst, codes, FLOAT, scales, zeros, k, lo, hi);
}

/** The same with bf16 scales. */
export function pack_qc8zw_i8_bf16(dst: QC8W, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(dst, codes, BRAIN, scales, zeros, k, lo, hi);
}

/** The same with f16 scales. */
export function pack_qc8zw_i8_f16(dst: QC8W, codes: Bytes, scales: Bytes, zeros: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  pack(dst, codes, HALF, scales, zeros, k, lo, hi);
}

/** zeros may be 0, which is none. */
function pack(dst: usize, codes: usize, type: ScaleType, scales: usize, zeros: usize, k: i32, lo: i32, hi: i32): void {
  const flip = i8x16.splat(-128);
  const whole = k & ~15;
  for (let j = lo; j < hi; j += ROWS) {
    const tile = dst + <usize>(j / ROWS) * tileBytes(k);
    const rows = min(ROWS, hi - j);
    if (rows < ROWS || k % GROUP != 0) {
      memory.fill(tile, 0, HEADER_BYTES);
      memory.fill(tile + HEADER_BYTES, 128, tileBytes(k) - HEADER_BYTES);
    }
    for (let r = 0; r < rows; r++) {
      store<f32>(tile + (<usize>r << 2), scaleAt(type, scales));
      scales += bytesOf(type);
      const z = zeros == 0 ? 0 : <i32>load<i8>(zeros++);
      store<i8>(tile + r, <i8>z, ZEROS);
      store<i32>(tile + (<usize>r << 2), sumOfBytes(codes + <usize>r * <usize>k, k) - z * k, 64);
    }
    let c = 0;
    if (rows == ROWS) {
      // 4 rows × 4 columns at a time: 32-bit lanes are transposed.
      for (; c < whole; c += 16) {
        for (let r = 0; r < ROWS; r += 4) {
          const from = codes + <usize>r * <usize>k + <usize>c;
          for (let $i = 0; $i < 4; $i++) let row$i = v128.xor(v128.load(from + $i * <usize>k), flip);
          storeTransposed(tile + codeAt(r, c), 32, row0, row1, row2, row3);
        }
      }
    }
    for (; c < k; c++) {
      for (let r = 0; r < rows; r++) store<u8>(tile + codeAt(r, c), load<u8>(codes + <usize>r * <usize>k + <usize>c) ^ 128);
    }
    codes += <usize>ROWS * <usize>k;
  }
}

/** Zero points of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline function zerosOf(tile: usize, v: i32): v128 {
  return i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(tile + (<usize>v << 2), ZEROS)));
}

// @ts-ignore: decorator
@inline function tileBytes(k: i32): usize {
  return HEADER_BYTES + <usize>((k + GROUP - 1) / GROUP) * GROUP_BYTES;
}

/** Offset in a tile of the code of row r, column c. */
// @ts-ignore: decorator
@inline function codeAt(r: i32, c: i32): usize {
  return HEADER_BYTES + <usize>(c / GROUP) * GROUP_BYTES + <usize>(((r & 8) << 5) | ((c & 28) << 3) | ((r & 7) << 2) | (c & 3));
}

function multiplyOne(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  if (how == FLOATS) multiplyFloats(false, f, tile, x, groups);
  else if (how == PLAIN) multiplyPlain(f, tile + HEADER_BYTES, x, groups);
  else multiplyRelaxed(f, tile + HEADER_BYTES, x, groups);
}

function multiplyDifferences(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyFloats(true, f, tile, x, groups);
}

/** `zeros`: whether there are zero points. */
// @ts-ignore: decorator
@inline function multiplyFloats(zeros: bool, f: usize, tile: usize, x: usize, groups: i32): void {
  const flip = i8x16.splat(-128);
  for (let $v = 0; $v < 4; $v++) {
    let f$v = v128.load(f, 16 * $v);
    let s$v = v128.load(tile, 16 * $v);
    let z$v = f32x4.convert_i32x4_s(zerosOf(tile, $v));
  }
  for (let p = tile + HEADER_BYTES; groups > 0; groups--) {
    for (let $v = 0; $v < 4; $v++) let a$v = f32x4.splat(0);
    for (let s = 0; s < 8; s++) {
      for (let $i = 0; $i < 4; $i++) let x$i = v128.load32_splat(x, 4 * $i);
      for (let $v = 0; $v < 4; $v++) {
        const codes = v128.xor(v128.load(p, 256 * ($v / 2) + 16 * ($v % 2)), flip);
        for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, zeros ? f32x4.sub(byte(codes, $i), z$v) : byte(codes, $i), a$v);
      }
      p += 32;
      x += 16;
    }
    p += 256;
    for (let $v = 0; $v < 4; $v++) f$v = madd(a$v, s$v, f$v);
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function multiplyRelaxed(f: usize, p: usize, x: usize, groups: i32): void {
  const flip = i8x16.splat(dotsAreSigned() ? -128 : 0);
  const zeros = i16x8.splat(dotsAreSigned() ? 0 : -128);
  let xs: v128;
  for (let $v = 0; $v < 4; $v++) let a$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; g++) {
    const start = i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
    for (let $v = 0; $v < 4; $v++) a$v = i32x4.add(a$v, start);
    for (let $s = 0; $s < 8; $s++) {
      xs = v128.load32_splat(x, 4 + 4 * $s);
      for (let $v = 0; $v < 4; $v++) a$v = dot32(xs, v128.xor(v128.load(p, 256 * ($v / 2) + 16 * ($v % 2) + 32 * $s), flip), a$v);
    }
    p += GROUP_BYTES;
    x += QD8_BYTES;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, a$v, 16 * $v);
}

function multiplyPlain(f: usize, p: usize, x: usize, groups: i32): void {
  const zeros = i16x8.splat(-128);
  const low = lowBytes();
  let xs: v128;
  let evenX: v128;
  let oddX: v128;
  let codes: v128;
  for (let $v = 0; $v < 4; $v++) let a$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; g++) {
    const start = i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
    for (let $v = 0; $v < 4; $v++) a$v = i32x4.add(a$v, start);
    for (let $s = 0; $s < 8; $s++) {
      xs = v128.load32_splat(x, 4 + 4 * $s);
      evenX = even(xs);
      oddX = odd(xs);
      for (let $v = 0; $v < 4; $v++) {
        codes = v128.load(p, 256 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
        a$v = dot(evenX, v128.and(codes, low), a$v);
        a$v = dot(oddX, i16x8.shr_u(codes, 8), a$v);
      }
    }
    p += GROUP_BYTES;
    x += QD8_BYTES;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, a$v, 16 * $v);
}

function unpack(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  for (let g = 0; g < count; g++) {
    if (how == FLOATS) memory.copy(scales + <usize>g * SCALES_BYTES, tile, SCALES_BYTES);
    unpackBytes(codes + <usize>g * codesBytes(how), tile + HEADER_BYTES + <usize>(group + g) * GROUP_BYTES, how);
  }
}

/** The codes as f32 with the zero points taken off: an int8 has no room for the difference. */
function unpackDifferences(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack(scales, codes, tile, group, count, block, how);
  for (let $v = 0; $v < 4; $v++) let z$v = f32x4.convert_i32x4_s(zerosOf(tile, $v));
  for (let end = codes + <usize>count * codesBytes(FLOATS); codes < end; codes += 64) {
    for (let $v = 0; $v < 4; $v++) v128.store(codes, f32x4.sub(v128.load(codes, 16 * $v), z$v), 16 * $v);
  }
}
