// Sums of products of f32 inputs and weights as f32, in the order of the columns: the same for one row and many. Weights
// lie in columns of 16 rows: column 0 | column 1 | …, 64 bytes each.

import { madd } from "./simd";
import { GROUP, SCALES_BYTES } from "./int8";
import { RESULT_BYTES, ROWS, storeTransposed } from "./tile";

/** Input rows of a register tile with 2 vectors of weight rows: 12 sums leave 3 of 15 registers for operands. */
const T = 6;

/** A tile of columns from f32 rows that lie `rowBytes` apart; where there are fewer than 16, the rest is 0. */
export function packColumns(to: usize, from: usize, rowBytes: usize, rows: i32, columns: i32): void {
  const end = <usize>columns << 2;
  let c: usize = 0;
  if (rows >= ROWS) {
    for (; c + 16 <= end; c += 16) {
      for (let $v = 0; $v < 4; $v++) {
        const row$v = from + 4 * $v * rowBytes + c;
        storeTransposed(to + (c << 4) + 16 * $v, 64, v128.load(row$v), v128.load(row$v + rowBytes), v128.load(row$v + 2 * rowBytes), v128.load(row$v + 3 * rowBytes));
      }
    }
  }
  for (; c < end; c += 4) {
    for (let r = 0; r < ROWS; r++) store<f32>(to + (c << 4) + (<usize>r << 2), r < rows ? load<f32>(from + <usize>r * rowBytes + c) : 0);
  }
}

/**
 * f[t, 0 .. 16) += Σ_c x[t, c] · weights[c, :] for `rows` rows of x, `rowBytes` apart; with one half, f[t, 0 .. 8) alone. f has
 * T − 1 rows to spare.
 */
export function multiplyColumns(f: usize, weights: usize, x: usize, rowBytes: usize, rows: i32, columns: i32, halves: usize = 2): void {
  for (let t = 0; t < rows; t += T) columnsTile(f + <usize>t * RESULT_BYTES, weights, x + <usize>t * rowBytes, rowBytes, rows - t, columns, halves);
}

// @ts-ignore: decorator
@inline function columnsTile(f: usize, weights: usize, x: usize, rowBytes: usize, rows: i32, columns: i32, halves: usize): void {
  for (let h: usize = 0; h < halves; h++) {
    let w = weights + (h << 5);
    const to = f + (h << 5);
    for (let $t = 0; $t < T; $t++) {
      let x$t = x + <usize>min($t, rows - 1) * rowBytes;
      let a0_$t = v128.load(to, 64 * $t);
      let a1_$t = v128.load(to, 64 * $t + 16);
    }
    let b: v128;
    let w0: v128;
    let w1: v128;
    let c = columns;
    for (; c >= 4; c -= 4) {
      for (let $i = 0; $i < 4; $i++) {
        w0 = v128.load(w, 64 * $i);
        w1 = v128.load(w, 64 * $i + 16);
        for (let $t = 0; $t < T; $t++) {
          b = v128.load32_splat(x$t, 4 * $i);
          a0_$t = madd(b, w0, a0_$t);
          a1_$t = madd(b, w1, a1_$t);
        }
      }
      w += 256;
      for (let $t = 0; $t < T; $t++) x$t += 16;
    }
    for (; c > 0; c--) {
      w0 = v128.load(w);
      w1 = v128.load(w, 16);
      for (let $t = 0; $t < T; $t++) {
        b = v128.load32_splat(x$t);
        a0_$t = madd(b, w0, a0_$t);
        a1_$t = madd(b, w1, a1_$t);
        x$t += 4;
      }
      w += 64;
    }
    for (let $t = 0; $t < T; $t++) {
      v128.store(to, a0_$t, 64 * $t);
      v128.store(to, a1_$t, 64 * $t + 16);
    }
  }
}

/** f[t, 0 .. 16) += Σ_g scales[g, :] · Σ_c x[t, c] · codes[c, :] for `rows` rows of x, `rowBytes` apart. f has T − 1 rows to spare. */
export function multiplyFloats(f: usize, codes: usize, scales: usize, x: usize, rowBytes: usize, rows: i32, groups: i32): void {
  for (let t = 0; t < rows; t += T) groupsTile(f + <usize>t * RESULT_BYTES, codes, scales, x + <usize>t * rowBytes, rowBytes, rows - t, groups);
}

// @ts-ignore: decorator
@inline function groupsTile(f: usize, codes: usize, scales: usize, x: usize, rowBytes: usize, rows: i32, groups: i32): void {
  for (let h: usize = 0; h < 2; h++) {
    let w = codes + (h << 5);
    let s = scales + (h << 5);
    const to = f + (h << 5);
    for (let $t = 0; $t < T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < groups; g++) {
      for (let $t = 0; $t < T; $t++) {
        let a0_$t = f32x4.splat(0);
        let a1_$t = a0_$t;
      }
      for (let c = 0; c < GROUP; c += 4) {
        for (let $i = 0; $i < 4; $i++) {
          w0 = v128.load(w, 64 * $i);
          w1 = v128.load(w, 64 * $i + 16);
          for (let $t = 0; $t < T; $t++) {
            b = v128.load32_splat(x$t, 4 * $i);
            a0_$t = madd(b, w0, a0_$t);
            a1_$t = madd(b, w1, a1_$t);
          }
        }
        w += 256;
        for (let $t = 0; $t < T; $t++) x$t += 16;
      }
      const s0 = v128.load(s);
      const s1 = v128.load(s, 16);
      for (let $t = 0; $t < T; $t++) {
        v128.store(to, madd(a0_$t, s0, v128.load(to, 64 * $t)), 64 * $t);
        v128.store(to, madd(a1_$t, s1, v128.load(to, 64 * $t + 16)), 64 * $t + 16);
      }
      s += SCALES_BYTES;
    }
  }
}

/** Column i of 4 rows' signed bytes as f32. */
// @ts-ignore: decorator
@inline export function byte(bytes: v128, i: i32): v128 {
  return f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(bytes, 24 - 8 * i), 24));
}
