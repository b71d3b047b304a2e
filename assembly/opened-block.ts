// A block of 256 columns of 16 rows, opened in scratch memory:
//
//   d | dmin:  f32, rows 0-15 each
//   scales:    i16 pairs (s, s), rows 0-15 of group 0 | group 1 | … of 16 groups at most
//   minimums:  i16 pairs, rows 0-15 | … of 16 pairs at most: (m of group 2i, of group 2i + 1) of groups of 32 columns, (m, m)
//              of those of 16
//   codes:     as int8.ts has them, 32 columns after 32 columns

import { codesBytes, DOT32, PLAIN, storeWide } from "./int8";
import { lower, upper } from "./tile";

// Offsets in an opened block.
export const D: usize = 0;
export const DMIN: usize = 64;
export const SCALES: usize = 128;
export const MINIMUMS: usize = 1152;
export const CODES: usize = 2176;

/** How codes below 128 are opened. */
export const NARROW: i32 = ASC_FEATURE_RELAXED_SIMD ? DOT32 : PLAIN;

/** Opens 16 f16 as d. */
// @ts-ignore: decorator
@inline export function openD(opened: usize, packed: usize): void {
  for (let $v = 0; $v < 4; $v++) v128.store(opened + D, halves(packed, $v), 16 * $v);
}

/** Opens 16 f16 as dmin. */
// @ts-ignore: decorator
@inline export function openDmin(opened: usize, packed: usize): void {
  for (let $v = 0; $v < 4; $v++) v128.store(opened + DMIN, halves(packed, $v), 16 * $v);
}

/** Packed f16 of rows 4v to 4v + 3 as f32. */
// @ts-ignore: decorator
@inline export function halves(packed: usize, v: i32): v128 {
  const pair = v128.load(packed + (<usize>(v >> 1) << 4));
  return v & 1 ? upper<u16>(pair) : lower<u16>(pair);
}

/** Opens the scales of group g: signed bytes, rows 0-15. */
// @ts-ignore: decorator
@inline export function openScales(opened: usize, g: i32, scales: v128): void {
  const to = opened + SCALES + (<usize>g << 6);
  for (let $v = 0; $v < 4; $v++) v128.store(to, pairs(scales, scales, $v), 16 * $v);
}

/** Opens pair i of minimums: signed bytes, rows 0-15 each. */
// @ts-ignore: decorator
@inline export function openMinimums(opened: usize, i: i32, first: v128, second: v128): void {
  const to = opened + MINIMUMS + (<usize>i << 6);
  for (let $v = 0; $v < 4; $v++) v128.store(to, pairs(first, second, $v), 16 * $v);
}

/** Signed bytes of rows 4v to 4v + 3, from two vectors of 16 rows, side by side in 16 bits. */
// @ts-ignore: decorator
@inline export function pairs(first: v128, second: v128, v: i32): v128 {
  const bytes =
    v < 2
      ? v128.shuffle<i8>(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
      : v128.shuffle<i8>(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return v & 1 ? i16x8.extend_high_i8x16_s(bytes) : i16x8.extend_low_i8x16_s(bytes);
}

/** Where the codes of group g of 32 columns are opened. */
// @ts-ignore: decorator
@inline export function openedCodes(opened: usize, g: i32, how: i32): usize {
  return opened + CODES + <usize>g * codesBytes(how);
}

/** Opens codes of 4 columns of 4 rows: those of rows 4v to 4v + 3 and columns 4s to 4s + 3 of a group. */
// @ts-ignore: decorator
@inline export function openCodes(group: usize, v: i32, s: i32, codes: v128, how: i32): void {
  const at = <usize>(((v & 2) << 7) | ((v & 1) << 4) | (s << 5));
  if (how == PLAIN) storeWide(group, at, codes);
  else v128.store(group + at, codes);
}

/** Opens the same scale for every group. */
export function openOne(opened: usize): void {
  const one = i16x8.splat(1);
  for (let at = opened + SCALES; at < opened + MINIMUMS; at += 16) v128.store(at, one);
}
