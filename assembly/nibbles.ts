// Codes of 4 bits, 16 rows of 32 columns at a time, as all layouts of blocks with such codes keep them:
//
//   group:   rows 0-7 | rows 8-15                                                                 256 bytes
//   8 rows:  columns 0-3 and 16-19 | 4-7 and 20-23 | …; each: row 0: 4 bytes | row 1 | … | row 7
//   byte:    code of column c in the low nibble, of column c + 16 in the high nibble

import { GROUP, lowNibbles } from "./int8";
import { storeTransposed } from "./tile";

export const GROUP_BYTES: usize = 256;

/** Offset in a group of the first vector of rows r to r + 3; the next ones follow 32 bytes apart. */
// @ts-ignore: decorator
@inline export function vectorAt(r: i32): usize {
  return <usize>(((r & 8) << 4) | ((r & 4) << 2));
}

/** Code of row r, column c of a group. */
// @ts-ignore: decorator
@inline export function nibbleOf(group: usize, r: i32, c: i32): i32 {
  const byte = <i32>load<u8>(group + vectorAt(r & ~3) + <usize>(((c & 12) << 3) | ((r & 3) << 2) | (c & 3)));
  return c < 16 ? byte & 15 : byte >> 4;
}

/** Σ of the codes of a group's rows r to r + 3. */
// @ts-ignore: decorator
@inline export function sumOfNibbles(group: usize, r: i32): v128 {
  const low = lowNibbles();
  const at = group + vectorAt(r);
  let bytes = i8x16.splat(0);
  for (let $s = 0; $s < 4; $s++) {
    const w = v128.load(at, 32 * $s);
    bytes = i8x16.add(bytes, i8x16.add(v128.and(w, low), v128.and(i16x8.shr_u(w, 4), low)));
  }
  return i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(bytes));
}

// How files keep the 32 codes of a group.
/** Columns c and c + 16 share a byte, as here. */
export const NIBBLES: i32 = 0;
/** Columns 2c and 2c + 1 share a byte. */
export const PAIRS: i32 = 1;
/** A byte per code, without offset. */
export const BYTES: i32 = 2;

/** The codes of a group in a file as they are kept here: a byte for columns c and c + 16. */
// @ts-ignore: decorator
@inline function nibbles(source: i32, at: usize): v128 {
  if (source == NIBBLES) return v128.load(at);
  if (source == BYTES) {
    const eight = i8x16.splat(8);
    return v128.or(i8x16.add(v128.load(at), eight), i8x16.shl(i8x16.add(v128.load(at, 16), eight), 4));
  }
  const pairs = v128.load(at);
  const first = v128.and(pairs, lowNibbles());
  const second = i8x16.shr_u(pairs, 4);
  const low = v128.shuffle<i8>(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const high = v128.shuffle<i8>(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return v128.or(low, i8x16.shl(high, 4));
}

/**
 * Packs the codes of `rows` rows of a tile, whose groups lie `step` bytes apart in the file. Here a block's groups follow
 * each other, and `gap` bytes lie between blocks.
 */
export function packNibbles(source: i32, to: usize, gap: usize, codes: usize, step: usize, rows: i32, k: i32, block: i32): void {
  const rowBytes = <usize>(k / GROUP) * step;
  for (let r = 0; r < rows; r += 4, codes += rowBytes << 2) {
    for (let $i = 0; $i < 4; $i++) let row$i = codes + $i * rowBytes;
    let group = to + vectorAt(r);
    for (let c = 0; c < k; group += gap) {
      for (let end = c + block; c < end; c += GROUP, group += GROUP_BYTES) {
        for (let $i = 0; $i < 4; $i++) {
          let nibbles$i = r + $i < rows ? nibbles(source, row$i) : i8x16.splat(0);
          row$i += step;
        }
        storeTransposed(group, 32, nibbles0, nibbles1, nibbles2, nibbles3);
      }
    }
  }
}
