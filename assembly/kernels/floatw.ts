// Weights in f32, f16 or bf16, every value as it is stored.
//
//   tile of 16 rows:  column 0 | column 1 | … | column k − 1
//   column, f32:      rows 0-15                                                          64 bytes
//   column, 16 bits:  0 4 1 5 2 6 3 7 | 8 12 9 13 10 14 11 15 (row numbers)              32 bytes
//
//   y[t, j] = Σ_c x[t, c] · w[j, c], summed over c in order in f32, a product rounded with the sum where the target fuses
//   32, 16 or 16 bits per weight

import { Bytes, BF16W, F16W, F32, F32Or0, F32W, I32, Scratch } from "../types";
import { multiplyColumns, packColumns } from "../float32";
import { SPARE_ROWS } from "../int8-tiles";
import { madd } from "../simd";
import { brainBits, finish, half, halfAt, halfBits, lower, lowerBits, lowerHalf, RESULT_BYTES, ROWS, storeTransposed, upper, upperBits } from "../tile";

// Element types as type parameters: f32, u16 for f16, i16 for bf16.

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_f32w(y: F32, x: F32, w: F32W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemm<f32>(y, x, w, bias, residual, rows, n, k, scratch, lo, hi);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_f16w(y: F32, x: F32, w: F16W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemm<u16>(y, x, w, bias, residual, rows, n, k, scratch, lo, hi);
}

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_f32_bf16w(y: F32, x: F32, w: BF16W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemm<i16>(y, x, w, bias, residual, rows, n, k, scratch, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_f32w(y: F32, tokens: I32, w: F32W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed<f32>(y, tokens, w, d, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_f16w(y: F32, tokens: I32, w: F16W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed<u16>(y, tokens, w, d, scale, lo, hi);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_bf16w(y: F32, tokens: I32, w: BF16W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embed<i16>(y, tokens, w, d, scale, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of f32[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_f32w_f32(dst: F32W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  const rowBytes = <usize>k << 2;
  for (let j = lo; j < hi; j += ROWS) packColumns(dst + <usize>j * rowBytes, src + <usize>(j - lo) * rowBytes, rowBytes, hi - j, k);
}

/** dst = the tiles of rows [lo, hi) of f16[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_f16w_f16(dst: F16W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packHalves(dst, src, k, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of bf16[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_bf16w_bf16(dst: BF16W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packHalves(dst, src, k, lo, hi);
}

/** Input rows that go over a stretch of a tile. */
const MAX_ROWS: i32 = 256;
/** Columns of 16-bit weights that are unpacked at a time: 16 KiB as f32. */
const MAX_COLUMNS: i32 = 256;
const WEIGHTS: usize = <usize>(MAX_ROWS + SPARE_ROWS) * RESULT_BYTES;

// @ts-ignore: decorator
@inline function gemm<W>(y: usize, x: usize, w: usize, bias: usize, residual: usize, rows: i32, n: i32, k: i32, scratch: usize, lo: i32, hi: i32): void {
  const rowBytes = <usize>k << 2;
  const tileBytes = <usize>k * columnBytes<W>();
  if (rows == 1) {
    // Two tiles at a time, one from each half: memory is then read from beginning to end in two places. Neighbours would be
    // read in jumps, which takes up to twice as long where they come from beyond the caches.
    const half = (hi - lo + 2 * ROWS - 1) / (2 * ROWS) * ROWS;
    for (let j = lo; j < lo + half; j += ROWS) {
      const tile = w + <usize>(j / ROWS) * tileBytes;
      const other = j + half < hi;
      multiplyTwo<W>(scratch, tile, other ? tile + <usize>(half / ROWS) * tileBytes : tile, x, k);
      if (isF16<W>()) scaleUp(scratch, 2);
      finish(y, scratch, bias, residual, 0, 1, j, n);
      if (other) finish(y, scratch + RESULT_BYTES, bias, residual, 0, 1, j + half, n);
    }
    return;
  }
  for (let t = 0; t < rows; t += MAX_ROWS) {
    const count = min(MAX_ROWS, rows - t);
    const from = x + <usize>t * rowBytes;
    for (let j = lo; j < hi; j += ROWS) {
      const tile = w + <usize>(j / ROWS) * tileBytes;
      memory.fill(scratch, 0, <usize>count * RESULT_BYTES);
      if (isFloat<W>()) multiplyColumns(scratch, tile, from, rowBytes, count, k);
      else multiplyHalves<W>(scratch, tile, from, rowBytes, count, k);
      if (isF16<W>()) scaleUp(scratch, count);
      finish(y, scratch, bias, residual, t, count, j, n);
    }
  }
}

// Sums over f16 weights are kept as f · 2^-56. A single row's f16 are left as decoded, w · 2^-112, and meet x · 2^56, which
// is one product per column instead of one per four weights; where weights are unpacked for many rows, they become
// w · 2^-56. Powers of two change no rounding, so both give the same bits.

/** f[0 .. 16) and f[16 .. 32) = Σ_c x[c] · w[:, c] of two tiles: 8 sums at a time, since a sum has to wait for its last product. */
function multiplyTwo<W>(f: usize, w: usize, other: usize, x: usize, k: i32): void {
  for (let $h = 0; $h < 4; $h++) {
    let a$h = f32x4.splat(0);
    let b$h = a$h;
  }
  const up = powerOf2(56);
  const low = lowerHalf();
  const bits = isF16<W>() ? halfBits() : brainBits();
  let xs: v128;
  let pairs: v128;
  for (const end = x + (<usize>k << 2); x < end; x += 4) {
    xs = v128.load32_splat(x);
    if (isF16<W>()) xs = f32x4.mul(xs, up);
    for (let $h = 0; $h < 4; $h++) {
      if (isFloat<W>()) {
        a$h = madd(xs, v128.load($h < 2 ? w : other, 32 * ($h % 2)), a$h);
        b$h = madd(xs, v128.load($h < 2 ? w : other, 32 * ($h % 2) + 16), b$h);
      } else {
        pairs = v128.load($h < 2 ? w : other, 16 * ($h % 2));
        a$h = madd(xs, isF16<W>() ? lowerBits(pairs, low, bits) : lower<W>(pairs), a$h);
        b$h = madd(xs, isF16<W>() ? upperBits(pairs, bits) : v128.and(pairs, bits), b$h);
      }
    }
    w += columnBytes<W>();
    other += columnBytes<W>();
  }
  for (let $h = 0; $h < 4; $h++) {
    v128.store(f, a$h, 32 * $h);
    v128.store(f, b$h, 32 * $h + 16);
  }
}

function multiplyHalves<W>(f: usize, w: usize, x: usize, rowBytes: usize, rows: i32, k: i32): void {
  const to = f + WEIGHTS;
  const up = powerOf2(56);
  const low = lowerHalf();
  const bits = halfBits();
  for (let c = 0; c < k; c += MAX_COLUMNS) {
    const columns = min(MAX_COLUMNS, k - c);
    for (let i = 0; i < columns; i++) {
      const column = to + (<usize>i << 6);
      for (let $h = 0; $h < 2; $h++) {
        const pairs = v128.load(w, 16 * $h);
        v128.store(column, isF16<W>() ? f32x4.mul(lowerBits(pairs, low, bits), up) : lower<W>(pairs), 32 * $h);
        v128.store(column, isF16<W>() ? f32x4.mul(upperBits(pairs, bits), up) : upper<W>(pairs), 32 * $h + 16);
      }
      w += columnBytes<W>();
    }
    multiplyColumns(f, to, x + (<usize>c << 2), rowBytes, rows, columns);
  }
}

/** f · 2^56, in `rows` rows. */
function scaleUp(f: usize, rows: i32): void {
  const up = powerOf2(56);
  for (let v: usize = 0; v < <usize>rows * RESULT_BYTES; v += 16) v128.store(f + v, f32x4.mul(v128.load(f + v), up));
}

// @ts-ignore: decorator
@inline function powerOf2(exponent: i32): v128 {
  return i32x4.splat((exponent + 127) << 23);
}

// @ts-ignore: decorator
@inline function isF16<W>(): bool {
  return !isFloat<W>() && !isSigned<W>();
}

// @ts-ignore: decorator
@inline function columnBytes<W>(): usize {
  return sizeof<W>() << 4;
}

// @ts-ignore: decorator
@inline function embed<W>(y: usize, tokens: usize, w: usize, d: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const column = w + <usize>(token / ROWS) * <usize>d * columnBytes<W>() + (isFloat<W>() ? <usize>r << 2 : halfAt(r));
    const row = y + (<usize>t * <usize>d << 2);
    for (let c = 0; c < d; c++) {
      const at = column + <usize>c * columnBytes<W>();
      store<f32>(row + (<usize>c << 2), scale * (isFloat<W>() ? load<f32>(at) : half<W>(at)));
    }
  }
}

function packHalves(dst: usize, src: usize, k: i32, lo: i32, hi: i32): void {
  const rowBytes = <usize>k << 1;
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>j * rowBytes;
    const from = src + <usize>(j - lo) * rowBytes;
    let c: usize = 0;
    if (rows == ROWS) {
      for (; c + 16 <= rowBytes; c += 16) {
        for (let h: usize = 0; h < 2; h++) transpose8(tile + (c << 4) + (h << 4), from + 8 * h * rowBytes + c, rowBytes);
      }
    }
    for (; c < rowBytes; c += 2) {
      for (let r = 0; r < ROWS; r++) store<u16>(tile + (c << 4) + halfAt(r), r < rows ? load<u16>(from + <usize>r * rowBytes + c) : 0);
    }
  }
}

/** Eight rows' vectors of 8 columns each to 8 columns' vectors, 32 bytes apart, of rows 0 4 1 5 2 6 3 7. */
// @ts-ignore: decorator
@inline function transpose8(to: usize, from: usize, rowBytes: usize): void {
  for (let $r = 0; $r < 4; $r++) {
    const a$r = v128.load(from + $r * rowBytes);
    const b$r = v128.load(from + ($r + 4) * rowBytes);
    // 32-bit lanes of rows (r, r + 4) at columns 0-3, and at columns 4-7.
    let p$r = v128.shuffle<i16>(a$r, b$r, 0, 8, 1, 9, 2, 10, 3, 11);
    let q$r = v128.shuffle<i16>(a$r, b$r, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  storeTransposed(to, 32, p0, p1, p2, p3);
  storeTransposed(to + 128, 32, q0, q1, q2, q3);
}
