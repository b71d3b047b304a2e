// Weights in f32, f16 or bf16, every value as it is stored.
//
//   tile of 16 rows:  column 0 | column 1 | … | column k − 1
//   column, f32:      rows 0-15                                                          64 bytes
//   column, 16 bits:  0 4 1 5 2 6 3 7 | 8 12 9 13 10 14 11 15 (row numbers)              32 bytes
//
//   y[t, j] = Σ_c x[t, c] · w[j, c], summed over c in order in f32, a product rounded with the sum where the target fuses
//   32, 16 or 16 bits per weight

import { Bytes, BF16W, F16W, F32, F32Or0, F32W, I32, Scratch } from "../types";
import { madd } from "../simd";
import { finish, half, halfAt, lower, RESULT_BYTES, ROWS, storeTransposed, upper } from "../tile";

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
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    const tile = dst + <usize>j * rowBytes;
    const from = src + <usize>(j - lo) * rowBytes;
    let c: usize = 0;
    if (rows == ROWS) {
      for (; c + 16 <= rowBytes; c += 16) {
        const to = tile + (c << 4);
        for (let $v = 0; $v < 4; $v++) {
          const row$v = from + 4 * $v * rowBytes + c;
          storeTransposed(to + 16 * $v, 64, v128.load(row$v), v128.load(row$v + rowBytes), v128.load(row$v + 2 * rowBytes), v128.load(row$v + 3 * rowBytes));
        }
      }
    }
    for (; c < rowBytes; c += 4) {
      for (let r = 0; r < ROWS; r++) store<f32>(tile + (c << 4) + (<usize>r << 2), r < rows ? load<f32>(from + <usize>r * rowBytes + c) : 0);
    }
  }
}

/** dst = the tiles of rows [lo, hi) of f16[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_f16w_f16(dst: F16W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packHalves(dst, src, k, lo, hi);
}

/** dst = the tiles of rows [lo, hi) of bf16[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_bf16w_bf16(dst: BF16W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packHalves(dst, src, k, lo, hi);
}

/** Input rows in a register tile: 2 vectors of weight rows × 6 = 12 sums, which leaves 3 of 15 registers for operands. */
const T = 6;

// @ts-ignore: decorator
@inline function gemm<W>(y: usize, x: usize, w: usize, bias: usize, residual: usize, rows: i32, n: i32, k: i32, scratch: usize, lo: i32, hi: i32): void {
  const tileBytes = <usize>k * columnBytes<W>();
  for (let j = lo; j < hi; j += ROWS) {
    const tile = w + <usize>(j / ROWS) * tileBytes;
    if (rows == 1) {
      dot16<W>(scratch, tile, x, k);
      finish(y, scratch, bias, residual, 0, j, n);
      continue;
    }
    for (let t = 0; t < rows; t += T) {
      const count = min(T, rows - t);
      dot16xT<W>(scratch, tile, x + (<usize>t * <usize>k << 2), k, count);
      for (let i = 0; i < count; i++) finish(y, scratch + <usize>i * RESULT_BYTES, bias, residual, t + i, j, n);
    }
  }
}

/** f[0 .. 16) = Σ_c x[c] · w[:, c] */
function dot16<W>(f: usize, w: usize, x: usize, k: i32): void {
  for (let $v = 0; $v < 4; $v++) let f$v = f32x4.splat(0);
  const end = x + (<usize>k << 2);
  for (; x < end; x += 4) {
    const b = v128.load32_splat(x);
    f0 = madd(b, rows0to3<W>(w, 0), f0);
    f1 = madd(b, rows4to7<W>(w, 0), f1);
    f2 = madd(b, rows0to3<W>(w, 1), f2);
    f3 = madd(b, rows4to7<W>(w, 1), f3);
    w += columnBytes<W>();
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

/** f[t, 0 .. 16) = Σ_c x[t, c] · w[:, c] for `count` ≤ T rows t of x; the rows of f behind them hold copies of the last. */
function dot16xT<W>(f: usize, w: usize, x: usize, k: i32, count: i32): void {
  const rowBytes = <usize>k << 2;
  for (let h: usize = 0; h < 2; h++) {
    let p = w + h * (columnBytes<W>() >> 1);
    for (let $t = 0; $t < T; $t++) {
      let x$t = x + <usize>min($t, count - 1) * rowBytes;
      let a$t = f32x4.splat(0);
      let b$t = a$t;
    }
    const end = x0 + rowBytes;
    while (x0 < end) {
      const w0 = rows0to3<W>(p, 0);
      const w1 = rows4to7<W>(p, 0);
      for (let $t = 0; $t < T; $t++) {
        const s = v128.load32_splat(x$t);
        a$t = madd(s, w0, a$t);
        b$t = madd(s, w1, b$t);
        x$t += 4;
      }
      p += columnBytes<W>();
    }
    for (let $t = 0; $t < T; $t++) {
      v128.store(f + (h << 5), a$t, 64 * $t);
      v128.store(f + (h << 5), b$t, 64 * $t + 16);
    }
  }
}

// @ts-ignore: decorator
@inline function columnBytes<W>(): usize {
  return sizeof<W>() << 4;
}

/** Rows 8h to 8h + 3 of a column. */
// @ts-ignore: decorator
@inline function rows0to3<W>(w: usize, h: usize): v128 {
  if (isFloat<W>()) return v128.load(w + 32 * h);
  return lower<W>(v128.load(w + 16 * h));
}

/** Rows 8h + 4 to 8h + 7 of a column. */
// @ts-ignore: decorator
@inline function rows4to7<W>(w: usize, h: usize): v128 {
  if (isFloat<W>()) return v128.load(w + 32 * h + 16);
  return upper<W>(v128.load(w + 16 * h));
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
