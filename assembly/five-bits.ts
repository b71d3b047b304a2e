// Codes of 5 bits, 32 columns of 4 rows in 5 vectors of 16 bytes, each: row 0: 4 bytes | row 1 | row 2 | row 3
//
//   lower 5 bits of A | B | C | D | E:  columns 0-3 | 4-7 | 8-11 | 12-15 | 16-19
//   columns 20-23:  bits 2-4 above A, bits 0-1 above D
//   columns 24-27:  bits 2-4 above B, bits 0-1 above E
//   columns 28-31:  bits 2-4 above C, bit 1 above D, bit 0 above E
//
//   byte of A, B, C:  code | bits 2-4 << 5          of D, E:  code | bit of columns 28-31 << 5 | bits 0-1 << 6

import { NARROW, openCodes } from "./opened-block";
import { fourOf } from "./super-blocks";

const MASKS: usize = memory.data<u32>(
  [
    0x1f1f1f1f, 0x1f1f1f1f, 0x1f1f1f1f, 0x1f1f1f1f, 0xe0e0e0e0, 0xe0e0e0e0, 0xe0e0e0e0, 0xe0e0e0e0,
    0xc0c0c0c0, 0xc0c0c0c0, 0xc0c0c0c0, 0xc0c0c0c0, 0x20202020, 0x20202020, 0x20202020, 0x20202020,
  ],
  16,
);

/** Bytes of 32 columns of 4 rows. */
export const FIVE_BITS_BYTES: usize = 80;

/** Columns that a vector holds itself. */
// @ts-ignore: decorator
@inline export function ownCodes(vector: v128): v128 {
  return v128.and(vector, v128.load(MASKS));
}

/** Columns 20-23 of A and D, or 24-27 of B and E. */
// @ts-ignore: decorator
@inline export function sharedCodes(upper: v128, lower: v128): v128 {
  return i16x8.shr_u(v128.or(v128.and(upper, v128.load(MASKS, 16)), i16x8.shr_u(v128.and(lower, v128.load(MASKS, 32)), 3)), 3);
}

/** Columns 28-31 of C, D and E. */
// @ts-ignore: decorator
@inline export function lastFiveBits(c: v128, d: v128, e: v128): v128 {
  const one = v128.load(MASKS, 48);
  const two = v128.or(i16x8.shr_u(v128.and(d, one), 1), i16x8.shr_u(v128.and(e, one), 2));
  return i16x8.shr_u(v128.or(v128.and(c, v128.load(MASKS, 16)), two), 3);
}

/** Opens the codes of rows 4v to 4v + 3. */
export function openFiveBits(group: usize, v: i32, vectors: usize): void {
  const a = v128.load(vectors);
  const b = v128.load(vectors, 16);
  const c = v128.load(vectors, 32);
  const d = v128.load(vectors, 48);
  const e = v128.load(vectors, 64);
  openCodes(group, v, 0, ownCodes(a), NARROW);
  openCodes(group, v, 1, ownCodes(b), NARROW);
  openCodes(group, v, 2, ownCodes(c), NARROW);
  openCodes(group, v, 3, ownCodes(d), NARROW);
  openCodes(group, v, 4, ownCodes(e), NARROW);
  openCodes(group, v, 5, sharedCodes(a, d), NARROW);
  openCodes(group, v, 6, sharedCodes(b, e), NARROW);
  openCodes(group, v, 7, lastFiveBits(c, d, e), NARROW);
}

/** Stores the codes of 4 rows, a byte each: first 16 columns of each, then the last 16. */
// @ts-ignore: decorator
@inline export function storeFiveBits(to: usize, first0: v128, first1: v128, first2: v128, first3: v128, last0: v128, last1: v128, last2: v128, last3: v128): void {
  for (let $i = 0; $i < 4; $i++) {
    let c$i = fourOf($i, first0, first1, first2, first3);
    let d$i = fourOf($i, last0, last1, last2, last3);
  }
  const three = v128.load(MASKS, 16);
  const two = v128.load(MASKS, 32);
  const one = v128.load(MASKS, 48);
  v128.store(to, v128.or(c0, v128.and(i16x8.shl(d1, 3), three)));
  v128.store(to, v128.or(c1, v128.and(i16x8.shl(d2, 3), three)), 16);
  v128.store(to, v128.or(c2, v128.and(i16x8.shl(d3, 3), three)), 32);
  v128.store(to, v128.or(c3, v128.or(v128.and(i16x8.shl(d1, 6), two), v128.and(i16x8.shl(d3, 4), one))), 48);
  v128.store(to, v128.or(d0, v128.or(v128.and(i16x8.shl(d2, 6), two), v128.and(i16x8.shl(d3, 5), one))), 64);
}

/** The code of row r mod 4 and column c of 32, in its vectors. */
export function fiveBits(vectors: usize, r: i32, c: i32): i32 {
  const at = vectors + (<usize>(r & 3) << 2) + (c & 3);
  const four = c >> 2;
  if (four < 5) return load<u8>(at + (<usize>four << 4)) & 31;
  const bits = <i32>(load<u8>(at + (<usize>(four - 5) << 4)) >> 5) << 2;
  if (four < 7) return bits | (load<u8>(at + (<usize>(four - 2) << 4)) >> 6);
  return bits | (((load<u8>(at, 48) >> 5) & 1) << 1) | ((load<u8>(at, 64) >> 5) & 1);
}
