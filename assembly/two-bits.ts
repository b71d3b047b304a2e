// Codes of 2 bits, 16 columns of 16 rows in 64 bytes: rows 0-3 | 4-7 | 8-11 | 12-15; each: row 0: 4 bytes | row 1 | row 2 | row 3
//
//   byte c:  code of column c | of column 4 + c << 2 | of column 8 + c << 4 | of column 12 + c << 6

import { NARROW, openCodes, openedCodes } from "./opened-block";

/** Opens the codes of a block of 256 columns. */
export function openTwoBits(opened: usize, codes: usize): void {
  const low = i8x16.splat(3);
  for (let g = 0; g < 16; g++) {
    const to = openedCodes(opened, g >> 1, NARROW);
    const s = (g & 1) << 2;
    for (let v = 0; v < 4; v++, codes += 16) {
      const fours = v128.load(codes);
      for (let i = 0; i < 4; i++) openCodes(to, v, s + i, v128.and(i16x8.shr_u(fours, 2 * i), low), NARROW);
    }
  }
}

/** The code in row r and column c of a block. */
export function twoBits(codes: usize, r: i32, c: i32): i32 {
  return <i32>(load<u8>(codes + <usize>((c >> 4 << 6) | (r << 2) | (c & 3))) >> (2 * (c >> 2 & 3))) & 3;
}

/** Packs row r of a block, whose byte 32h + l holds columns 128h + 32q + l, q = 0 … 3, from its low bits. */
export function packTwoBits(codes: usize, stored: usize, r: i32): void {
  for (let c = 0; c < 256; c++) {
    const code = <i32>(load<u8>(stored + <usize>((c >> 7 << 5) | (c & 31))) >> (2 * (c >> 5 & 3))) & 3;
    const to = codes + <usize>((c >> 4 << 6) | (r << 2) | (c & 3));
    const shift = 2 * (c >> 2 & 3);
    store<u8>(to, <u8>((shift == 0 ? 0 : <i32>load<u8>(to)) | (code << shift)));
  }
}
