// Register tiles of sums of products of int8 inputs and unsigned weight codes (int8.ts), and what becomes of a group's sums.

import { dot, dot16, DOT32, dot32, MINIMA_BYTES, ones, PLAIN, QB8_BYTES, SCALES_BYTES, WIDE_BYTES, WRAP16 } from "./int8";
import { madd } from "./simd";
import { RESULT_BYTES } from "./tile";

// What becomes of a group's sums a[t, j] = Σ x · (code − zero):
//   SCALED    f += scales[g, j] · d[t, g] · a      inputs with a scale per group
//   BLOCKS    f += scales[g, j] · a                inputs with a scale per row
//   MINIMA    f += scales[g, j] · d[t, g] · a + minima[g, j] · d[t, g] · Σ x
//   ZEROS     f += scales[g, j] · d[t, g] · a      where each row and group has a zero of its own; d is 1 for inputs with
//                                                  a scale per row
//   INTEGERS  f += a, as i32                       both sides with a scale per row
// The zeros of ZEROS are pairs of i16, −zero twice, for each row: a product by the two sums of a group's inputs is where
// the row's sum starts.
export const SCALED: i32 = 0;
export const BLOCKS: i32 = 1;
export const INTEGERS: i32 = 2;
export const MINIMA: i32 = 3;
export const ZEROS: i32 = 4;

/** Input rows of a register tile with 2 vectors of weight rows: 12 sums leave 3 of 15 registers for operands. */
const T = 6;
/** The same where a product and its sum are two instructions. */
const NARROW_T = 5;

/** Rows that f must have behind the last: a register tile is always whole. */
export const SPARE_ROWS: i32 = T - 1;

/**
 * Adds to f[t, 0 .. 16), for `rows` rows of inputs, what `form` says of `groups` groups. x points at the first of them, in
 * the first row; rows lie `rowBytes` apart, groups `inputBytes`.
 */
// @ts-ignore: decorator
@inline export function multiply(form: i32, how: i32, f: usize, codes: usize, scales: usize, zero: i32, x: usize, rowBytes: usize, inputBytes: usize, rows: i32, groups: i32): void {
  // With relaxed dots only 8-bit codes are ever multiplied plainly.
  if (how == PLAIN && (!ASC_FEATURE_RELAXED_SIMD || form == SCALED || form == INTEGERS || form == ZEROS)) {
    for (let t = 0; t < rows; t += NARROW_T) plain(form, f + <usize>t * RESULT_BYTES, codes, scales, zero, x + <usize>t * rowBytes, rowBytes, inputBytes, rows - t, groups);
  } else if (ASC_FEATURE_RELAXED_SIMD) {
    if (how == DOT32) {
      for (let t = 0; t < rows; t += T) wide(form, f + <usize>t * RESULT_BYTES, codes, scales, zero, x + <usize>t * rowBytes, rowBytes, inputBytes, rows - t, groups);
    } else if (how == WRAP16) {
      if (form == SCALED || form == BLOCKS) {
        for (let t = 0; t < rows; t += NARROW_T) wrapping(form, f + <usize>t * RESULT_BYTES, codes, scales, x + <usize>t * rowBytes, rowBytes, rows - t, groups);
      }
    } else if (form != INTEGERS) {
      for (let t = 0; t < rows; t += NARROW_T) narrow(form, f + <usize>t * RESULT_BYTES, codes, scales, zero, x + <usize>t * rowBytes, rowBytes, inputBytes, rows - t, groups);
    }
  }
}

// The register tiles. Rows past the last repeat it. Operands live in variables that are assigned again and again: that
// keeps Binaryen from moving a sum's products together, which would need each operand a second time (assembly/README.md).

// @ts-ignore: decorator
@inline function wide(form: i32, f: usize, codes: usize, scales: usize, zero: i32, x: usize, rowBytes: usize, inputBytes: usize, rows: i32, groups: i32): void {
  let z0 = i16x8.splat(<i16>-zero);
  let z1 = z0;
  for (let h: usize = 0; h < 2; h++) {
    let w = codes + (h << 8);
    let s = scales + (h << 5);
    const to = f + (h << 5);
    for (let $t = 0; $t < T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < groups; g++) {
      if (form == ZEROS) {
        z0 = v128.load(s, 64);
        z1 = v128.load(s, 80);
      }
      for (let $t = 0; $t < T; $t++) {
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), z0);
        let a1_$t = form == ZEROS ? i32x4.dot_i16x8_s(v128.load32_splat(x$t), z1) : a0_$t;
      }
      for (let $s = 0; $s < 8; $s++) {
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < T; $t++) {
          b = v128.load32_splat(x$t, 4 + 4 * $s);
          a0_$t = dot32(b, w0, a0_$t);
          a1_$t = dot32(b, w1, a1_$t);
        }
      }
      for (let $t = 0; $t < T; $t++) {
        add(form, to + 64 * $t, a0_$t, a1_$t, s, x$t, 36, inputBytes);
        x$t += inputBytes;
      }
      w += 512;
      s += form == MINIMA || form == ZEROS ? SCALES_BYTES + MINIMA_BYTES : SCALES_BYTES;
    }
  }
}

// @ts-ignore: decorator
@inline function narrow(form: i32, f: usize, codes: usize, scales: usize, zero: i32, x: usize, rowBytes: usize, inputBytes: usize, rows: i32, groups: i32): void {
  let z0 = i16x8.splat(<i16>-zero);
  let z1 = z0;
  for (let h: usize = 0; h < 2; h++) {
    let w = codes + (h << 8);
    let s = scales + (h << 5);
    const to = f + (h << 5);
    for (let $t = 0; $t < NARROW_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < groups; g++) {
      if (form == ZEROS) {
        z0 = v128.load(s, 64);
        z1 = v128.load(s, 80);
      }
      for (let $t = 0; $t < NARROW_T; $t++) {
        let a0_$t = i16x8.mul(v128.load32_splat(x$t), z0);
        let a1_$t = form == ZEROS ? i16x8.mul(v128.load32_splat(x$t), z1) : a0_$t;
      }
      for (let $s = 0; $s < 8; $s++) {
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < NARROW_T; $t++) {
          b = v128.load32_splat(x$t, 4 + 4 * $s);
          a0_$t = dot16(b, w0, a0_$t);
          a1_$t = dot16(b, w1, a1_$t);
        }
      }
      const one = ones();
      for (let $t = 0; $t < NARROW_T; $t++) {
        add(form, to + 64 * $t, i32x4.dot_i16x8_s(a0_$t, one), i32x4.dot_i16x8_s(a1_$t, one), s, x$t, 36, inputBytes);
        x$t += inputBytes;
      }
      w += 512;
      s += form == MINIMA || form == ZEROS ? SCALES_BYTES + MINIMA_BYTES : SCALES_BYTES;
    }
  }
}

// In WRAP16 a lane of 16 bits u = BIAS + a (int8.ts) becomes the f32 2^23 + u when 0x4b00 is put above it. Two vectors are
// all 16 rows of a tile: there are no halves to go over.
const RAISED: usize = memory.data<u32>(
  [
    0x4b004b00, 0x4b004b00, 0x4b004b00, 0x4b004b00,
    0xcb008000, 0xcb008000, 0xcb008000, 0xcb008000, // −(2^23 + 32768)
    0x4b007fff, 0x4b007fff, 0x4b007fff, 0x4b007fff, // 2^23 + 32767
  ],
  16,
);

// @ts-ignore: decorator
@inline function wrapping(form: i32, f: usize, codes: usize, scales: usize, x: usize, rowBytes: usize, rows: i32, groups: i32): void {
  let w = codes;
  let s = scales;
  for (let $t = 0; $t < NARROW_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
  let b: v128;
  let w0: v128;
  let w1: v128;
  for (let g = 0; g < groups; g++) {
    for (let $t = 0; $t < NARROW_T; $t++) {
      let a0_$t = v128.load32_splat(x$t);
      let a1_$t = a0_$t;
    }
    for (let $s = 0; $s < 16; $s++) {
      w0 = v128.load(w, 32 * $s);
      w1 = v128.load(w, 32 * $s + 16);
      for (let $t = 0; $t < NARROW_T; $t++) {
        b = v128.load32_splat(x$t, 4 + 4 * $s);
        a0_$t = dot16(b, w0, a0_$t);
        a1_$t = dot16(b, w1, a1_$t);
      }
    }
    const above = v128.load(RAISED);
    for (let $t = 0; $t < NARROW_T; $t++) {
      b = form == SCALED ? v128.load32_splat(x$t, 68) : above;
      const bias = form == SCALED ? f32x4.mul(b, v128.load(RAISED, 16)) : above;
      addRaised(form, f + 64 * $t, v128.shuffle<i16>(a0_$t, above, 0, 8, 1, 9, 2, 10, 3, 11), b, bias, s);
      addRaised(form, f + 64 * $t + 16, v128.shuffle<i16>(a0_$t, above, 4, 12, 5, 13, 6, 14, 7, 15), b, bias, s + 16);
      addRaised(form, f + 64 * $t + 32, v128.shuffle<i16>(a1_$t, above, 0, 8, 1, 9, 2, 10, 3, 11), b, bias, s + 32);
      addRaised(form, f + 64 * $t + 48, v128.shuffle<i16>(a1_$t, above, 4, 12, 5, 13, 6, 14, 7, 15), b, bias, s + 48);
      x$t += WIDE_BYTES;
    }
    w += 512;
    s += SCALES_BYTES;
  }
}

/**
 * Adds a group's sums of 4 weight rows and one input row, raised as f32. The product of d, of f16's 11 bits, by
 * 2^23 + 2^15 is exact, so a fused d · raised − d · (2^23 + 2^15) is d · a rounded once, as in scaledSum. BLOCKS have no d.
 */
// @ts-ignore: decorator
@inline function addRaised(form: i32, f: usize, raised: v128, d: v128, bias: v128, scales: usize): void {
  const a = form == SCALED ? madd(raised, d, bias) : f32x4.sub(raised, v128.load(RAISED, 32));
  v128.store(f, madd(a, v128.load(scales), v128.load(f)));
}

// @ts-ignore: decorator
@inline function plain(form: i32, f: usize, codes: usize, scales: usize, zero: i32, x: usize, rowBytes: usize, inputBytes: usize, rows: i32, groups: i32): void {
  let z0 = i16x8.splat(<i16>-zero);
  let z1 = z0;
  for (let h: usize = 0; h < 2; h++) {
    let w = codes + (h << 9);
    let s = scales + (h << 5);
    const to = f + (h << 5);
    for (let $t = 0; $t < NARROW_T; $t++) let x$t = x + <usize>min($t, rows - 1) * rowBytes;
    let b: v128;
    let w0: v128;
    let w1: v128;
    for (let g = 0; g < groups; g++) {
      if (form == ZEROS) {
        z0 = v128.load(s, 64);
        z1 = v128.load(s, 80);
      }
      for (let $t = 0; $t < NARROW_T; $t++) {
        let a0_$t = i32x4.dot_i16x8_s(v128.load32_splat(x$t), z0);
        let a1_$t = form == ZEROS ? i32x4.dot_i16x8_s(v128.load32_splat(x$t), z1) : a0_$t;
      }
      for (let $s = 0; $s < 16; $s++) {
        w0 = v128.load(w, 32 * $s);
        w1 = v128.load(w, 32 * $s + 16);
        for (let $t = 0; $t < NARROW_T; $t++) {
          b = v128.load32_splat(x$t, 4 + 4 * $s);
          a0_$t = dot(b, w0, a0_$t);
          a1_$t = dot(b, w1, a1_$t);
        }
      }
      for (let $t = 0; $t < NARROW_T; $t++) {
        add(form, to + 64 * $t, a0_$t, a1_$t, s, x$t, 68, inputBytes);
        x$t += WIDE_BYTES;
      }
      w += 1024;
      s += form == MINIMA || form == ZEROS ? SCALES_BYTES + MINIMA_BYTES : SCALES_BYTES;
    }
  }
}

/** Adds a group's sums of 8 weight rows and one input row. */
// @ts-ignore: decorator
@inline function add(form: i32, f: usize, a0: v128, a1: v128, scales: usize, x: usize, scaleAt: usize, inputBytes: usize): void {
  if (form == INTEGERS) {
    v128.store(f, i32x4.add(v128.load(f), a0));
    v128.store(f, i32x4.add(v128.load(f, 16), a1), 16);
  } else if (form == BLOCKS) {
    v128.store(f, blockSum(a0, v128.load(scales), v128.load(f)));
    v128.store(f, blockSum(a1, v128.load(scales, 16), v128.load(f, 16)), 16);
  } else {
    const d = form == ZEROS ? scaleOf(x + scaleAt, inputBytes) : v128.load32_splat(x + scaleAt);
    let f0 = scaledSum(a0, d, v128.load(scales), v128.load(f));
    let f1 = scaledSum(a1, d, v128.load(scales, 16), v128.load(f, 16));
    if (form == MINIMA) {
      const sum = f32x4.mul(d, f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(v128.load32_splat(x), ones())));
      f0 = minimaSum(v128.load(scales, 64), sum, f0);
      f1 = minimaSum(v128.load(scales, 80), sum, f1);
    }
    v128.store(f, f0);
    v128.store(f, f1, 16);
  }
}

/** f + scales · (d · a): GEMV and GEMM add up with the same roundings. */
// @ts-ignore: decorator
@inline export function scaledSum(a: v128, d: v128, scales: v128, f: v128): v128 {
  return madd(f32x4.mul(f32x4.convert_i32x4_s(a), d), scales, f);
}

/** f + minima · sum, where sum = d · Σ x */
// @ts-ignore: decorator
@inline export function minimaSum(minima: v128, sum: v128, f: v128): v128 {
  return madd(minima, sum, f);
}

/** f + scales · a */
// @ts-ignore: decorator
@inline export function blockSum(a: v128, scales: v128, f: v128): v128 {
  return madd(f32x4.convert_i32x4_s(a), scales, f);
}

/** A group's scale where it has one, or else 1. */
// @ts-ignore: decorator
@inline export function scaleOf(at: usize, inputBytes: usize): v128 {
  return inputBytes == QB8_BYTES ? v128.load32_splat(at) : f32x4.splat(1);
}
