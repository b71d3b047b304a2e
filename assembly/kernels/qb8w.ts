// Weights of 8 bits in blocks of 32 columns with an f16 scale: GGUF's Q8_0.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 32 − 1
//   block:            scales: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                          32 bytes
//                     codes: rows 0-7 | rows 8-15                                                     512 bytes
//   codes of 8 rows:  columns 0-3 | 4-7 | … | 28-31; each: row 0: 4 bytes | row 1 | … | row 7
//   code:             q + 128, q = −128 … 127
//
//   w[j, c] = scale · q          8.5 bits per weight
//   y[t, j] = Σ over blocks of scale · d · Σ_c x[t, c] · q[j, c], x quantized as qb8 with scale d

import { Bytes, F32, F32Or0, I32, QB8W, QD8, Scratch } from "../types";
import {
  codesBytes, dot, dot32, dotOfBytes, dotsAreSigned, even, GROUP, lowBytes, odd, PLAIN, QB8_BYTES, SCALES_BYTES, unpackBytes, unpackScales,
} from "../int8";
import { scaledSum } from "../int8-tiles";
import { gemmScaled } from "../matrix";
import { half, halfAt, lower, ROWS, storeTransposed, upper } from "../tile";

/** Where a block's codes start. */
const CODES: usize = 32;
const BLOCK_BYTES: usize = 544;
/** A block in Q8_0: f16 scale, 32 int8. */
const Q8_0_BYTES: usize = 34;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qb8_qb8w(y: F32, x: QD8, w: QB8W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  const zero = dotsAreSigned() ? 0 : 128;
  gemmScaled(y, x, w, tileBytes(k), bias, residual, rows, n, k, GROUP, zero, dotOfBytes(), scratch, lo, hi, multiplyOne, unpack);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_qb8w(y: F32, tokens: I32, w: QB8W, d: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const row = y + (<usize>t * <usize>d << 2);
    const tile = w + <usize>(token / ROWS) * tileBytes(d);
    for (let c = 0; c < d; c++) {
      const block = tile + <usize>(c / GROUP) * BLOCK_BYTES;
      const q = <f32>(<i32>load<u8>(block + codeAt(r, c % GROUP)) - 128);
      store<f32>(row + (<usize>c << 2), scale * (half<u16>(block + halfAt(r)) * q));
    }
  }
}

/** dst = the tiles of rows [lo, hi) of Q8_0[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_qb8w_q8_0(dst: QB8W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  const blocks = k / GROUP;
  const rowBytes = <usize>blocks * Q8_0_BYTES;
  const flip = i8x16.splat(-128);
  for (let j = lo; j < hi; j += ROWS) {
    const tile = dst + <usize>(j / ROWS) * tileBytes(k);
    const rows = min(ROWS, hi - j);
    const from = src + <usize>(j - lo) * rowBytes;
    if (rows < ROWS) memory.fill(tile, 0, tileBytes(k));
    for (let b = 0; b < blocks; b++) {
      const block = tile + <usize>b * BLOCK_BYTES;
      for (let r = 0; r < rows; r++) {
        const stored = from + <usize>r * rowBytes + <usize>b * Q8_0_BYTES;
        store<u16>(block + halfAt(r), load<u16>(stored));
        if (rows < ROWS) for (let c = 0; c < GROUP; c++) store<u8>(block + codeAt(r, c), load<u8>(stored + c, 2) ^ 128);
      }
      if (rows < ROWS) continue;
      // 4 rows × 4 columns at a time: 32-bit lanes are transposed.
      for (let r = 0; r < ROWS; r += 4) {
        for (let c = 0; c < GROUP; c += 16) {
          const at = from + <usize>r * rowBytes + <usize>b * Q8_0_BYTES + <usize>c;
          for (let $i = 0; $i < 4; $i++) let row$i = v128.xor(v128.load(at + $i * rowBytes, 2), flip);
          storeTransposed(block + codeAt(r, c), 32, row0, row1, row2, row3);
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline function tileBytes(k: i32): usize {
  return <usize>(k / GROUP) * BLOCK_BYTES;
}

/** Offset in a block of the code of row r, column c. */
// @ts-ignore: decorator
@inline function codeAt(r: i32, c: i32): usize {
  return CODES + <usize>(((r & 8) << 5) | ((c & ~3) << 3) | ((r & 7) << 2) | (c & 3));
}

function multiplyOne(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  if (how == PLAIN) multiplyPlain(f, tile, x, groups);
  else multiplyRelaxed(f, tile, x, groups);
}

function multiplyRelaxed(f: usize, tile: usize, x: usize, groups: i32): void {
  const flip = i8x16.splat(dotsAreSigned() ? -128 : 0);
  const zeros = i16x8.splat(dotsAreSigned() ? 0 : -128);
  let xs: v128;
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; g++) {
    const start = i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
    for (let $v = 0; $v < 4; $v++) let a$v = start;
    for (let $s = 0; $s < 8; $s++) {
      xs = v128.load32_splat(x, 4 + 4 * $s);
      a0 = dot32(xs, v128.xor(v128.load(tile, 32 + 32 * $s), flip), a0);
      a1 = dot32(xs, v128.xor(v128.load(tile, 48 + 32 * $s), flip), a1);
      a2 = dot32(xs, v128.xor(v128.load(tile, 288 + 32 * $s), flip), a2);
      a3 = dot32(xs, v128.xor(v128.load(tile, 304 + 32 * $s), flip), a3);
    }
    const d = v128.load32_splat(x, 36);
    f0 = scaledSum(a0, d, lower<u16>(v128.load(tile)), f0);
    f1 = scaledSum(a1, d, upper<u16>(v128.load(tile)), f1);
    f2 = scaledSum(a2, d, lower<u16>(v128.load(tile, 16)), f2);
    f3 = scaledSum(a3, d, upper<u16>(v128.load(tile, 16)), f3);
    tile += BLOCK_BYTES;
    x += QB8_BYTES;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function multiplyPlain(f: usize, tile: usize, x: usize, groups: i32): void {
  const zeros = i16x8.splat(-128);
  const low = lowBytes();
  let xs: v128;
  let evenX: v128;
  let oddX: v128;
  let codes: v128;
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  for (let g = 0; g < groups; g++) {
    const start = i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
    for (let $v = 0; $v < 4; $v++) let a$v = start;
    for (let $s = 0; $s < 8; $s++) {
      xs = v128.load32_splat(x, 4 + 4 * $s);
      evenX = even(xs);
      oddX = odd(xs);
      for (let $v = 0; $v < 4; $v++) {
        codes = v128.load(tile, 32 + 32 * $s + 256 * ($v / 2) + 16 * ($v % 2));
        a$v = dot(evenX, v128.and(codes, low), a$v);
        a$v = dot(oddX, i16x8.shr_u(codes, 8), a$v);
      }
    }
    const d = v128.load32_splat(x, 36);
    f0 = scaledSum(a0, d, lower<u16>(v128.load(tile)), f0);
    f1 = scaledSum(a1, d, upper<u16>(v128.load(tile)), f1);
    f2 = scaledSum(a2, d, lower<u16>(v128.load(tile, 16)), f2);
    f3 = scaledSum(a3, d, upper<u16>(v128.load(tile, 16)), f3);
    tile += BLOCK_BYTES;
    x += QB8_BYTES;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

function unpack(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  tile += <usize>group * BLOCK_BYTES;
  for (let g = 0; g < count; g++) {
    unpackScales<u16>(scales, tile);
    unpackBytes(codes, tile + CODES, how);
    scales += SCALES_BYTES;
    codes += codesBytes(how);
    tile += BLOCK_BYTES;
  }
}
