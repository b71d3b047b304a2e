// Codes of 4 bits that are places in a table of 16 int8, the levels. What is multiplied is a level with an offset:
//
//   IQ4   −127 −104 −83 −65 −49 −35 −22 −10 1 13 25 38 53 69 89 113, kept + 128
//   E2M1  0 1 2 3 4 6 8 12 and their negatives: twice the floats of 4 bits, kept + 12, which is below 128
//
// A group is 32 columns of 16 rows, in 256 bytes: rows 0-7 | rows 8-15; each: columns 0-3 and 16-19 | 4-7 and 20-23 | …; each:
// row 0: 4 bytes | row 1 | … | row 7; byte: code of column c in the low nibble, of column c + 16 in the high nibble.

import { dotOfBytes, dotsAreSigned, lowNibbles } from "./int8";
import { lookup } from "./simd";
import { NARROW, openCodes } from "./opened-block";
import { storeTransposed } from "./tile";

export const GROUP_BYTES: usize = 256;

/** A table of levels: where it lies. */
export type Levels = usize;

export const IQ4: Levels = memory.data<u8>([1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241], 16);
export const E2M1: Levels = memory.data<u8>([12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0], 16);

/** How to multiply a table's levels. */
// @ts-ignore: decorator
@inline export function howOf(levels: Levels): i32 {
  return levels == IQ4 ? dotOfBytes() : NARROW;
}

/** What comes off a table's levels: nothing where products take them as signed. */
// @ts-ignore: decorator
@inline export function zeroOf(levels: Levels): i32 {
  return levels == IQ4 ? (dotsAreSigned() ? 0 : 128) : 12;
}

/** A table's levels as they are multiplied. */
// @ts-ignore: decorator
@inline export function tableOf(levels: Levels): v128 {
  const flip = levels == IQ4 && dotsAreSigned() ? -128 : 0;
  return v128.xor(v128.load(levels), i8x16.splat(<i8>flip));
}

/** Offset in a group of the first vector of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline export function vectorAt(v: i32): usize {
  return <usize>(((v & 2) << 6) | ((v & 1) << 4));
}

/** The level of row r, column c of a group, without its offset. */
export function levelOf(levels: Levels, group: usize, r: i32, c: i32): i32 {
  const byte = <i32>load<u8>(group + vectorAt(r >> 2) + <usize>(((c & 12) << 3) | ((r & 3) << 2) | (c & 3)));
  return <i32>load<u8>(levels + <usize>((c < 16 ? byte : byte >> 4) & 15)) - (levels == IQ4 ? 128 : 12);
}

/** Writes a group's levels as int8.ts multiplies them. */
export function openLevels(to: usize, levels: Levels, group: usize, how: i32): void {
  const table = tableOf(levels);
  const low = lowNibbles();
  for (let v = 0; v < 4; v++) {
    for (let s = 0; s < 4; s++) {
      const codes = v128.load(group + vectorAt(v) + (<usize>s << 5));
      openCodes(to, v, s, lookup(table, v128.and(codes, low)), how);
      openCodes(to, v, s + 4, lookup(table, v128.and(i16x8.shr_u(codes, 4), low)), how);
    }
  }
}

/** Packs a group of `rows` rows, `rowBytes` apart: 16 bytes each, whose byte c holds columns c and c + 16 as here. */
export function packLevels(group: usize, from: usize, rowBytes: usize, rows: i32): void {
  for (let r = 0; r < rows; r += 4, from += rowBytes << 2) {
    for (let $i = 0; $i < 4; $i++) let row$i = r + $i < rows ? v128.load(from + $i * rowBytes) : i8x16.splat(0);
    storeTransposed(group + vectorAt(r >> 2), 32, row0, row1, row2, row3);
  }
}
