// Sums of products of int8 inputs and unsigned weight codes, exact in every build and on every engine.
//
// Inputs come in groups of 32 columns (kernels/quantize.ts has the diagrams). A group's codes belong to 16 rows; a row's
// weight is code − zero, and Σ x · zero, the same for all rows, comes off where the sums start:
//   Σ x · (code − zero) = −zero · Σ x + Σ x · code
//
// Four ways to multiply, chosen once per call by what the machine has:
//   DOT32  i32x4.relaxed_dot_i8x16_i7x16_add_s: one instruction for 16 products where there is vpdpbusd or sdot
//   DOT16  i16x8.relaxed_dot_i8x16_i7x16_s, added up in 16 bits and widened once per group: where DOT32 would be
//          emulated by it. Codes up to 15: eight pairs of |x · code| ≤ 128 · 15 fit.
//   WRAP16 DOT16 for many rows of inputs and codes up to 15 with a zero of 8: a lane is a weight row with its sum over all
//          32 columns, −32 512 … 32 768, or … 32 512 where no input is −128. It may wrap on the way, and is right in the end.
//   PLAIN  i32x4.dot_i16x8_s over even and odd columns: without relaxed SIMD, and for 8-bit codes where relaxed dots
//          of bytes above 127 saturate

import { madd } from "./simd";
import { lower, upper } from "./tile";

/** Not a way to multiply integers: codes are wanted as f32. */
export const FLOATS: i32 = -1;
export const PLAIN: i32 = 0;
export const DOT16: i32 = 1;
export const DOT32: i32 = 2;
export const WRAP16: i32 = 3;

/** Columns of a group. */
export const GROUP: i32 = 32;

/** Bytes of a group of inputs, with and without a scale of its own. */
export const QB8_BYTES: usize = 40;
export const QD8_BYTES: usize = 36;
/** The same with 16 bits per value. */
export const WIDE_BYTES: usize = 72;
/** Bytes in front of a row's first group where scale and zero point belong to the row. */
export const QD8_HEADER_BYTES: usize = 16;

/** Bytes of a row of k columns of inputs with a scale and a zero point. */
// @ts-ignore: decorator
@inline export function qd8RowBytes(k: i32): usize {
  return QD8_HEADER_BYTES + <usize>((k + GROUP - 1) / GROUP) * QD8_BYTES;
}

/** Bytes of a group's f32 scales for 16 rows. */
export const SCALES_BYTES: usize = 64;
/** Bytes of its f32 minima, or of its zero points, which follow where there are any. */
export const MINIMA_BYTES: usize = 64;

// 127 · 255 summed over four bytes, then −128 · 128.
const PROBE: usize = memory.data<u32>([0x7f7f7f7f, 0x80808080, 0, 0, 0xffffffff, 0x80808080, 0, 0], 16);

/** What this engine makes of bytes above 127 in the second operand of relaxed dots. */
export const SATURATES: i32 = 0;
export const UNSIGNED: i32 = 1;
export const SIGNED: i32 = 2;

/** SATURATES (or anything that is not exact), UNSIGNED or SIGNED. The operands are loaded, so that no compiler folds the answer. */
export function relaxedBytes(): i32 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    const sums = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(PROBE), v128.load(PROBE, 16), i32x4.splat(0));
    const above = i32x4.extract_lane(sums, 0);
    const lowest = i32x4.extract_lane(sums, 1);
    if (above == 4 * 127 * 255 && lowest == -4 * 128 * 128) return UNSIGNED;
    if (above == -4 * 127 && lowest == 4 * 128 * 128) return SIGNED;
  }
  return SATURATES;
}

/** How to multiply codes below 16. */
export function dotOfNibbles(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return PLAIN;
  return relaxedBytes() == SATURATES ? DOT16 : DOT32;
}

/** Rows from which on WRAP16 is worth its unpacking. */
const MANY_ROWS: i32 = 40;

/** How to multiply `rows` rows of inputs by codes below 16 with a zero of 8. */
export function dotOfEights(rows: i32): i32 {
  const how = dotOfNibbles();
  return how == DOT16 && rows >= MANY_ROWS && fuses() ? WRAP16 : how;
}

/** How to multiply codes below 256. */
export function dotOfBytes(): i32 {
  return relaxedBytes() == SATURATES ? PLAIN : DOT32;
}

/** Whether DOT32 takes 8-bit codes as signed, so that they have to be stored without their offset. */
export function dotsAreSigned(): bool {
  return relaxedBytes() == SIGNED;
}

const FUSED: usize = memory.data<f32>([1.000244140625, 1.000244140625, 1.000244140625, 1.000244140625, -1.00048828125, -1.00048828125, -1.00048828125, -1.00048828125], 16);

/** Whether madd rounds once: (1 + 2^-12)² − (1 + 2^-11) is 2^-24, and 0 where the product is rounded. */
function fuses(): bool {
  const a = v128.load(FUSED);
  return f32x4.extract_lane(madd(a, a, v128.load(FUSED, 16)), 0) != 0;
}

/** Σ over 4 columns per lane: inputs x are int8, codes below 128. */
// @ts-ignore: decorator
@inline export function dot32(x: v128, codes: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, codes, sum);
  return sum;
}

/** Σ over 2 columns per lane: inputs x are int8, codes below 16. */
// @ts-ignore: decorator
@inline export function dot16(x: v128, codes: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(x, codes));
  return sum;
}

/** Σ over 2 columns per lane: both in 16 bits. */
// @ts-ignore: decorator
@inline export function dot(x: v128, codes: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, codes));
}

/** Even columns of int8 inputs in 16 bits. */
// @ts-ignore: decorator
@inline export function even(x: v128): v128 {
  return i16x8.shr_s(i16x8.shl(x, 8), 8);
}

/** Odd columns of int8 inputs in 16 bits. */
// @ts-ignore: decorator
@inline export function odd(x: v128): v128 {
  return i16x8.shr_s(x, 8);
}

const MASKS: usize = memory.data<u32>(
  [
    0x00010001, 0x00010001, 0x00010001, 0x00010001, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f,
    0x00ff00ff, 0x00ff00ff, 0x00ff00ff, 0x00ff00ff, 0x000f000f, 0x000f000f, 0x000f000f, 0x000f000f,
  ],
  16,
);

/** 1 in 16-bit lanes: a product by it widens sums of DOT16. */
// @ts-ignore: decorator
@inline export function ones(): v128 {
  return v128.load(MASKS);
}

/** Lower nibble of every byte. */
// @ts-ignore: decorator
@inline export function lowNibbles(): v128 {
  return v128.load(MASKS, 16);
}

/** Lower byte of every 16-bit lane. */
// @ts-ignore: decorator
@inline export function lowBytes(): v128 {
  return v128.load(MASKS, 32);
}

/** Lower nibble of every 16-bit lane. */
// @ts-ignore: decorator
@inline export function lowestNibbles(): v128 {
  return v128.load(MASKS, 48);
}

// Codes as `multiply` reads them, one group of 16 rows after the other:
//   half 0 (rows 0-7) | half 1;  half: columns 0-3 | 4-7 | … | 28-31
//   DOT16, DOT32: 2 vectors, 4 rows of 4 columns each, a byte per code                          512 bytes per group
//   PLAIN: the even columns of these 2 vectors, then the odd ones, 16 bits per code             1024 bytes per group
//   WRAP16: columns 0-1 | 2-3 | … | 30-31; each: rows 0-7 | rows 8-15, two columns of a row side by side    512 bytes per group
//   FLOATS (float32.ts): column 0 | column 1 | …; column: rows 0-15 as f32                      2048 bytes per group
// PLAIN and WRAP16 read inputs as `widen` writes them:
//   PLAIN: the two sums of the group it comes from | columns 0, 2, 1, 3, 4, 6, 5, 7 … with 16 bits each | scale
//   WRAP16: where sums start, twice (u16) | columns 0 1 0 1 2 3 2 3 …, a byte each | scale            72 bytes per group
// A sum of WRAP16 starts at BIAS − 8 · Σ x and ends as BIAS + Σ x · (code − 8), which is never negative.

const BIAS: i32 = 32767;
/** The same where inputs have a scale per group, and so are −127 … 127: a power of two, of which that scale's multiple is exact. */
const SCALED_BIAS: i32 = 32768;

/** Bytes of a group's unpacked codes. */
// @ts-ignore: decorator
@inline export function codesBytes(how: i32): usize {
  return how == FLOATS ? 2048 : how == PLAIN ? 1024 : 512;
}

/** Unpacks the 8-bit codes of a group, kept with an offset of 128, as `how` reads them. */
export function unpackBytes(to: usize, from: usize, how: i32): void {
  const flip = i8x16.splat(how == FLOATS || dotsAreSigned() ? -128 : 0);
  if (how == FLOATS) {
    for (let i: usize = 0; i < 512; i += 16) storeFloats(to, i, v128.xor(v128.load(from + i), flip));
  } else if (how == PLAIN) {
    for (let i: usize = 0; i < 512; i += 16) storeWide(to, i, v128.load(from + i));
  } else {
    for (let i: usize = 0; i < 512; i += 16) v128.store(to + i, v128.xor(v128.load(from + i), flip));
  }
}

/** Stores what starts at offset i of a group's codes, a byte each, as PLAIN reads it. */
// @ts-ignore: decorator
@inline export function storeWide(group: usize, i: usize, codes: v128): void {
  const to = group + ((i & ~31) << 1) + (i & 16);
  v128.store(to, v128.and(codes, lowBytes()));
  v128.store(to, i16x8.shr_u(codes, 8), 32);
}

/** Σ of k int8. */
export function sumOfBytes(codes: usize, k: i32): i32 {
  let total = i32x4.splat(0);
  let c = 0;
  for (; c + 16 <= k; c += 16, codes += 16) {
    total = i32x4.add(total, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v128.load(codes))));
  }
  let rest = i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 1) + i32x4.extract_lane(total, 2) + i32x4.extract_lane(total, 3);
  for (; c < k; c++, codes++) rest += load<i8>(codes);
  return rest;
}

/** Writes a group's 32 bytes with 16 bits each, in the order 0 2 1 3 of each four. */
// @ts-ignore: decorator
@inline export function widenColumns(to: usize, from: usize): void {
  for (let $i = 0; $i < 2; $i++) {
    const bytes = v128.load(from, 16 * $i);
    const evens = even(bytes);
    const odds = odd(bytes);
    v128.store(to, v128.shuffle<i32>(evens, odds, 0, 4, 1, 5), 32 * $i);
    v128.store(to, v128.shuffle<i32>(evens, odds, 2, 6, 3, 7), 32 * $i + 16);
  }
}

/** Writes each of a group's 16 pairs of bytes twice, side by side. */
// @ts-ignore: decorator
@inline function pairColumns(to: usize, from: usize): void {
  for (let $i = 0; $i < 2; $i++) {
    const columns = v128.load(from, 16 * $i);
    v128.store(to, v128.shuffle<i16>(columns, columns, 0, 0, 1, 1, 2, 2, 3, 3), 32 * $i);
    v128.store(to, v128.shuffle<i16>(columns, columns, 4, 4, 5, 5, 6, 6, 7, 7), 32 * $i + 16);
  }
}

/** Writes `rows` rows of inputs as `how`, PLAIN or WRAP16, reads them, `toBytes` apart; from points at a row's first group of `groupBytes`. */
export function widen(how: i32, to: usize, from: usize, toBytes: usize, rowBytes: usize, groupBytes: usize, rows: i32, groups: i32): void {
  const isPlain = !ASC_FEATURE_RELAXED_SIMD || how == PLAIN;
  const bias = groupBytes == QB8_BYTES ? SCALED_BIAS : BIAS;
  for (let t = 0; t < rows; t++, from += rowBytes, to += toBytes) {
    for (let g = 0, x = from, wide = to; g < groups; g++, x += groupBytes, wide += WIDE_BYTES) {
      if (isPlain) {
        store<i32>(wide, load<i32>(x));
        widenColumns(wide + 4, x + 4);
      } else {
        const sum = <i32>load<i16>(x) + <i32>load<i16>(x, 2);
        store<u32>(wide, ((bias - 8 * sum) & 0xffff) * 0x10001);
        pairColumns(wide + 4, x + 4);
      }
      if (groupBytes == QB8_BYTES) store<f32>(wide, load<f32>(x, 36), 68);
    }
  }
}

/** Stores what starts at offset i of a group's codes, signed bytes, as FLOATS are read. */
// @ts-ignore: decorator
@inline export function storeFloats(group: usize, i: usize, bytes: v128): void {
  const to = group + (((i & 0xe0) << 3) | ((i & 0x100) >> 3) | (i & 16));
  for (let $i = 0; $i < 4; $i++) v128.store(to, f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(bytes, 24 - 8 * $i), 24)), 64 * $i);
}

/** Stores 16 scales, packed as f16 (T = u16) or bf16 (T = i16), as f32. */
// @ts-ignore: decorator
@inline export function unpackScales<T>(to: usize, packed: usize): void {
  v128.store(to, lower<T>(v128.load(packed)));
  v128.store(to, upper<T>(v128.load(packed)), 16);
  v128.store(to, lower<T>(v128.load(packed, 16)), 32);
  v128.store(to, upper<T>(v128.load(packed, 16)), 48);
}
