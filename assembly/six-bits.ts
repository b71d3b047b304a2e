// Scales s and minimums m of 6 bits for 8 groups of a block of 16 rows, as Q4_K and Q5_K have them, with their f16 factors:
//
//   d | dmin:  f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                        32 bytes each
//   low:       group 0 | … | group 7; each: rows 0-15, s mod 16 | m mod 16 << 4       16 bytes each
//   high:      groups 0 and 1 | 2 and 3 | 4 and 5 | 6 and 7; each: rows 0-15          16 bytes each
//              byte: s div 16 of the first | of the second << 2 | m div 16 of the first << 4 | of the second << 6

import { lowNibbles } from "./int8";
import { half, halfAt } from "./tile";
import { halves, openD, openDmin, openMinimums, openScales, pairs } from "./opened-block";
import { blockMinimum } from "./super-blocks";

const DMIN: usize = 32;
const LOW: usize = 64;
const HIGH: usize = 192;
/** Bytes of all of them. */
export const SIX_BITS_BYTES: usize = 256;

/** s of group 2i + u, rows 0-15. */
// @ts-ignore: decorator
@inline export function sixBitScales(block: usize, i: i32, u: i32): v128 {
  const low = v128.load(block + (<usize>(2 * i + u) << 4), LOW);
  const high = v128.load(block + (<usize>i << 4), HIGH);
  return v128.or(v128.and(low, lowNibbles()), v128.and(i16x8.shl(high, 4 - 2 * u), i8x16.splat(48)));
}

/** m of group 2i + u, rows 0-15. */
// @ts-ignore: decorator
@inline function sixBitMinimums(block: usize, i: i32, u: i32): v128 {
  const low = v128.load(block + (<usize>(2 * i + u) << 4), LOW);
  const high = v128.load(block + (<usize>i << 4), HIGH);
  return v128.or(v128.and(i16x8.shr_u(low, 4), lowNibbles()), v128.and(i16x8.shr_u(high, 2 * u), i8x16.splat(48)));
}

/** f[0 .. 16) −= dmin · dx · Σ_g m[g] · Σ x over a block of one input row. */
export function subtractMinimums(f: usize, block: usize, x: usize): void {
  for (let $v = 0; $v < 4; $v++) let a$v = i32x4.splat(0);
  for (let i = 0; i < 4; i++) {
    const first = sixBitMinimums(block, i, 0);
    const second = sixBitMinimums(block, i, 1);
    const sums = v128.load32_splat(x + (<usize>i << 2), 4);
    for (let $v = 0; $v < 4; $v++) a$v = i32x4.add(a$v, i32x4.dot_i16x8_s(pairs(first, second, $v), sums));
  }
  const dx = v128.load32_splat(x);
  for (let $v = 0; $v < 4; $v++) v128.store(f, blockMinimum(a$v, halves(block + DMIN, $v), dx, v128.load(f, 16 * $v)), 16 * $v);
}

/** Opens d, dmin, scales and minimums of a block, each scale `times` times: for parts of a group that are added up apart. */
export function openSixBits(opened: usize, block: usize, times: i32): void {
  openD(opened, block);
  openDmin(opened, block + DMIN);
  for (let i = 0; i < 4; i++) {
    for (let part = 0; part < times; part++) {
      openScales(opened, 2 * i * times + part, sixBitScales(block, i, 0));
      openScales(opened, (2 * i + 1) * times + part, sixBitScales(block, i, 1));
    }
    openMinimums(opened, i, sixBitMinimums(block, i, 0), sixBitMinimums(block, i, 1));
  }
}

/** d · s of row r and group g. */
export function sixBitScale(block: usize, r: i32, g: i32): f32 {
  const low = <i32>load<u8>(block + (<usize>g << 4) + r, LOW) & 15;
  const high = <i32>load<u8>(block + (<usize>(g >> 1) << 4) + r, HIGH) >> (2 * (g & 1));
  return half<u16>(block + halfAt(r)) * <f32>(low | ((high & 3) << 4));
}

/** dmin · m of row r and group g. */
export function sixBitMinimum(block: usize, r: i32, g: i32): f32 {
  const low = <i32>load<u8>(block + (<usize>g << 4) + r, LOW) >> 4;
  const high = <i32>load<u8>(block + (<usize>(g >> 1) << 4) + r, HIGH) >> (4 + 2 * (g & 1));
  return half<u16>(block + DMIN + halfAt(r)) * <f32>(low | ((high & 3) << 4));
}

/**
 * Packs row r: d and dmin (f16), then in 12 bytes 6-bit values of groups 0-3, s in the first four bytes, m in the next, and of
 * groups 4-7, whose low nibbles s and m share the last four and whose high bits lie above the others.
 */
export function packSixBits(block: usize, r: i32, stored: usize): void {
  store<u16>(block + halfAt(r), load<u16>(stored));
  store<u16>(block + halfAt(r), load<u16>(stored, 2), DMIN);
  for (let g = 0; g < 8; g += 2) {
    const s0 = storedScale(stored + 4, g);
    const m0 = storedMinimum(stored + 4, g);
    const s1 = storedScale(stored + 4, g + 1);
    const m1 = storedMinimum(stored + 4, g + 1);
    store<u8>(block + (<usize>g << 4) + r, <u8>((s0 & 15) | (m0 << 4)), LOW);
    store<u8>(block + (<usize>g << 4) + r, <u8>((s1 & 15) | (m1 << 4)), LOW + 16);
    store<u8>(block + (<usize>g << 3) + r, <u8>((s0 >> 4) | ((s1 >> 4) << 2) | ((m0 >> 4) << 4) | ((m1 >> 4) << 6)), HIGH);
  }
}

// @ts-ignore: decorator
@inline function storedScale(at: usize, g: i32): i32 {
  if (g < 4) return load<u8>(at + g) & 63;
  return (load<u8>(at + g, 4) & 15) | ((load<u8>(at + g - 4) >> 6) << 4);
}

// @ts-ignore: decorator
@inline function storedMinimum(at: usize, g: i32): i32 {
  if (g < 4) return load<u8>(at + g, 4) & 63;
  return (load<u8>(at + g, 4) >> 4) | ((load<u8>(at + g) >> 6) << 4);
}
