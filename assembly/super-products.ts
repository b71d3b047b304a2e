// Integer sums of an opened block and rows of inputs (kernels/quantize-k.ts): the register tiles, and what they and the kernels
// of single rows are made of.

import { codesBytes, dot, DOT16, dot16, DOT32, dot32, even, lowBytes, odd, PLAIN, widenColumns } from "./int8";
import { CODES, SCALES } from "./opened-block";
import { RESULT_BYTES } from "./tile";

/** Columns of a block. */
export const BLOCK_COLUMNS: i32 = 256;

/** Bytes of a block of inputs (kernels/quantize-k.ts), where its groups of 32 columns start, and theirs. */
export const QK8_BYTES: usize = 340;
export const GROUPS_AT: usize = 20;
export const QK8_GROUP_BYTES: usize = 40;

/** A block of inputs with 16 bits per value. */
const WIDE_GROUP_BYTES: usize = 72;
export const WIDE_BLOCK_BYTES: usize = 576;

/** Writes the groups of a block of `rows` rows of inputs, `rowBytes` apart, with 16 bits per value. */
export function widenBlocks(to: usize, from: usize, rowBytes: usize, rows: i32): void {
  for (let t = 0; t < rows; t++, from += rowBytes) {
    for (let g: usize = 0; g < 8; g++, to += WIDE_GROUP_BYTES) {
      const x = from + GROUPS_AT + g * QK8_GROUP_BYTES;
      store<i64>(to, load<i64>(x));
      widenColumns(to + 8, x + 8);
    }
  }
}

/** Where sums over 16 columns start, given the two sums of their inputs: at −zero · Σ x. */
// @ts-ignore: decorator
@inline export function start(sums: v128, zeros: v128, how: i32): v128 {
  return how == DOT16 ? i16x8.mul(sums, zeros) : i32x4.dot_i16x8_s(sums, zeros);
}

/** s · a, where a are sums that were added up as `how` says, and s is a pair of scales. */
// @ts-ignore: decorator
@inline export function scaled(a: v128, scales: v128, how: i32): v128 {
  return how == DOT16 ? i32x4.dot_i16x8_s(a, scales) : i32x4.mul(a, i32x4.shr_s(scales, 16));
}

/** sum + Σ x · codes over 4 columns: codes are below 128, and fit where `how` adds them up. */
// @ts-ignore: decorator
@inline export function addProducts(x: v128, codes: v128, sum: v128, how: i32): v128 {
  if (how == DOT16) return dot16(x, codes, sum);
  if (how == DOT32) return dot32(x, codes, sum);
  return dot(odd(x), i16x8.shr_u(codes, 8), dot(even(x), v128.and(codes, lowBytes()), sum));
}

/** sums[t, 0 .. 16) += Σ_g s[g] · Σ x[t] · (codes − zero) for `rows` rows of input groups, `rowBytes` apart. */
export function multiply(how: i32, columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  if (how == PLAIN) {
    for (let t = 0; t < rows; t += NARROW_T) plain(columns, sums + <usize>t * RESULT_BYTES, opened, zero, x + <usize>t * rowBytes, rowBytes, rows - t);
  } else if (ASC_FEATURE_RELAXED_SIMD) {
    if (how == DOT16) {
      for (let t = 0; t < rows; t += NARROW_T) narrow(columns, sums + <usize>t * RESULT_BYTES, opened, zero, x + <usize>t * rowBytes, rowBytes, rows - t);
    } else {
      for (let t = 0; t < rows; t += T) wide(columns, sums + <usize>t * RESULT_BYTES, opened, zero, x + <usize>t * rowBytes, rowBytes, rows - t);
    }
  }
}

/** sums[0 .. 16) = Σ_g s[g] · Σ x · (codes − zero) for one input row that is not widened, a scale per 16 columns. */
export function multiplySingle(how: i32, sums: usize, opened: usize, zero: i32, x: usize): void {
  if (how == PLAIN) single(PLAIN, sums, opened, zero, x);
  else if (how == DOT16) single(DOT16, sums, opened, zero, x);
  else single(DOT32, sums, opened, zero, x);
}

// @ts-ignore: decorator
@inline function single(how: i32, sums: usize, opened: usize, zero: i32, x: usize): void {
  const zeros = i16x8.splat(<i16>-zero);
  const half = codesBytes(how) >> 1;
  let w = opened + CODES;
  let s = opened + SCALES;
  let b: v128;
  for (let $v = 0; $v < 4; $v++) let sums$v = i32x4.splat(0);
  for (let g = 0; g < 16; g++) {
    const isLast = <usize>(g & 1);
    const at = start(v128.load32_splat(x + (isLast << 2)), zeros, how);
    const columns = x + (isLast << 4);
    for (let $v = 0; $v < 4; $v++) let a$v = at;
    for (let $s = 0; $s < 4; $s++) {
      b = v128.load32_splat(columns, 8 + 4 * $s);
      for (let $v = 0; $v < 4; $v++) {
        if (how == PLAIN) {
          a$v = dot(even(b), v128.load(w + half * ($v / 2), 64 * $s + 16 * ($v % 2)), a$v);
          a$v = dot(odd(b), v128.load(w + half * ($v / 2), 64 * $s + 16 * ($v % 2) + 32), a$v);
        } else {
          a$v = addProducts(b, v128.load(w + half * ($v / 2), 32 * $s + 16 * ($v % 2)), a$v, how);
        }
      }
    }
    for (let $v = 0; $v < 4; $v++) sums$v = i32x4.add(sums$v, scaled(a$v, v128.load(s, 16 * $v), how));
    s += 64;
    // The second half of a group follows its first; then come rows 8-15, which were read too.
    w += isLast ? half + (half >> 1) : half >> 1;
    x += isLast ? QK8_GROUP_BYTES : 0;
  }
  for (let $v = 0; $v < 4; $v++) v128.store(sums, sums$v, 16 * $v);
}

/** Input rows of the register tiles: int8-tiles.ts says why. */
const T = 6;
const NARROW_T = 5;

// The register tiles. Rows past the last repeat it. Steps are 4 columns; a scale comes in after 4 of them, or after 8.

function wide(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
  for (let h: usize = 0; h < 2; h++) {
    let w = opened + CODES + (h << 8);
    let s = opened + SCALES + (h << 5);
    const to = sums + (h << 5);
    for (let $t = 0; $t < T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < 8; g++) {
      for (let $t = 0; $t < T; $t++) {
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), zeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 8; $s++) {
        if ($s == 4) {
          if (columns == 16) {
            w0 = i32x4.shr_s(v128.load(s), 16);
            w1 = i32x4.shr_s(v128.load(s, 16), 16);
            for (let $t = 0; $t < T; $t++) {
              add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
              a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t, 4), zeros);
              a1_$t = a0_$t;
            }
            s += 64;
          }
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < T; $t++) {
          b = v128.load32_splat(x$t, 8 + 4 * $s);
          a0_$t = dot32(b, w0, a0_$t);
          a1_$t = dot32(b, w1, a1_$t);
        }
      }
      w0 = i32x4.shr_s(v128.load(s), 16);
      w1 = i32x4.shr_s(v128.load(s, 16), 16);
      for (let $t = 0; $t < T; $t++) {
        add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
        x$t += QK8_GROUP_BYTES;
      }
      w += 512;
      s += 64;
    }
  }
}

function narrow(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
  for (let h: usize = 0; h < 2; h++) {
    let w = opened + CODES + (h << 8);
    let s = opened + SCALES + (h << 5);
    const to = sums + (h << 5);
    for (let $t = 0; $t < NARROW_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < 8; g++) {
      for (let $t = 0; $t < NARROW_T; $t++) {
        let a0_$t = i16x8.mul(v128.load32_splat(x$t), zeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 8; $s++) {
        if ($s == 4) {
          if (columns == 16) {
            w0 = v128.load(s);
            w1 = v128.load(s, 16);
            for (let $t = 0; $t < NARROW_T; $t++) {
              add(to + 64 * $t, i32x4.dot_i16x8_s(a0_$t, w0), i32x4.dot_i16x8_s(a1_$t, w1));
              a0_$t = i16x8.mul(v128.load32_splat(x$t, 4), zeros);
              a1_$t = a0_$t;
            }
            s += 64;
          }
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < NARROW_T; $t++) {
          b = v128.load32_splat(x$t, 8 + 4 * $s);
          a0_$t = dot16(b, w0, a0_$t);
          a1_$t = dot16(b, w1, a1_$t);
        }
      }
      w0 = v128.load(s);
      w1 = v128.load(s, 16);
      for (let $t = 0; $t < NARROW_T; $t++) {
        add(to + 64 * $t, i32x4.dot_i16x8_s(a0_$t, w0), i32x4.dot_i16x8_s(a1_$t, w1));
        x$t += QK8_GROUP_BYTES;
      }
      w += 512;
      s += 64;
    }
  }
}

function plain(columns: i32, sums: usize, opened: usize, zero: i32, x: usize, rowBytes: usize, rows: i32): void {
  const zeros = i16x8.splat(<i16>-zero);
  for (let h: usize = 0; h < 2; h++) {
    let w = opened + CODES + (h << 9);
    let s = opened + SCALES + (h << 5);
    const to = sums + (h << 5);
    for (let $t = 0; $t < NARROW_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < 8; g++) {
      for (let $t = 0; $t < NARROW_T; $t++) {
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), zeros);
        let a1_$t = a0_$t;
      }
      for (let $s = 0; $s < 16; $s++) {
        if ($s == 8) {
          if (columns == 16) {
            w0 = i32x4.shr_s(v128.load(s), 16);
            w1 = i32x4.shr_s(v128.load(s, 16), 16);
            for (let $t = 0; $t < NARROW_T; $t++) {
              add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
              a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t, 4), zeros);
              a1_$t = a0_$t;
            }
            s += 64;
          }
        }
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < NARROW_T; $t++) {
          b = v128.load32_splat(x$t, 8 + 4 * $s);
          a0_$t = dot(b, w0, a0_$t);
          a1_$t = dot(b, w1, a1_$t);
        }
      }
      w0 = i32x4.shr_s(v128.load(s), 16);
      w1 = i32x4.shr_s(v128.load(s, 16), 16);
      for (let $t = 0; $t < NARROW_T; $t++) {
        add(to + 64 * $t, i32x4.mul(a0_$t, w0), i32x4.mul(a1_$t, w1));
        x$t += WIDE_GROUP_BYTES;
      }
      w += 1024;
      s += 64;
    }
  }
}

/** sums += a, for 8 weight rows and one input row. */
// @ts-ignore: decorator
@inline function add(sums: usize, a0: v128, a1: v128): void {
  v128.store(sums, i32x4.add(v128.load(sums), a0));
  v128.store(sums, i32x4.add(v128.load(sums, 16), a1), 16);
}
