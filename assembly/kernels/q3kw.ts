// Weights of 3 bits in blocks of 256 columns, groups of 16 columns with scales of 6 bits: GGUF's Q3_K.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       1760 bytes per block
//   block:            d: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                              32 bytes
//                     12 bytes of scales: byte 0 of rows 0-15 | byte 1 | … | byte 11                  16 bytes each
//                     32 columns | 32 columns | … (8 times)                                           192 bytes each
//   scales:           byte i < 8:  s mod 16 of group i | of group i + 8 << 4
//                     byte 8 + i:  s div 16 of groups i | i + 4 << 2 | i + 8 << 4 | i + 12 << 6       s = scale + 32
//   32 columns:       rows 0-3 | 4-7 | 8-11 | 12-15; each: A | B | C; each: row 0: 4 bytes | row 1 | row 2 | row 3
//   byte c of A:      column c | column 4 + c << 3 | bits 0-1 of column 24 + c << 6
//   byte c of B:      column 8 + c | column 12 + c << 3 | bits 0-1 of column 28 + c << 6
//   byte c of C:      column 16 + c | column 20 + c << 3 | bit 2 of column 24 + c << 6 | bit 2 of column 28 + c << 7
//   code:             q + 4, q = −4 … 3
//
//   w[j, c] = d · scale · q                                                                           3.4375 bits per weight
//   y[t, j] = Σ over blocks of dx · d · Σ_g scale · Σ_c x[t, c] · q, x quantized as qk8

import { Bytes, F32, F32Or0, I32, Q3KW, QD8, Scratch } from "../types";
import { dotOfNibbles, lowNibbles } from "../int8";
import { NARROW, openCodes, openD, openedCodes, openScales } from "../opened-block";
import { embedSuperBlocks, fourOf, gemmSuperBlocks, packSuperBlocks } from "../super-blocks";
import { half, halfAt } from "../tile";

const ZERO: i32 = 4;
const SCALES: usize = 32;
const CODES: usize = 224;
const BLOCK_BYTES: usize = 1760;
/** A block in Q3_K: bit 2 of codes in 32 bytes, bits 0-1 in 64, 12 bytes of scales, d. */
const STORED_BYTES: usize = 110;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_q3kw(y: F32, x: QD8, w: Q3KW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 16, ZERO, 0, dotOfNibbles(), null, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_q3kw(y: F32, tokens: I32, w: Q3KW, d: i32, scale: f32, lo: i32, hi: i32): void {
  embedSuperBlocks(y, tokens, w, d, scale, BLOCK_BYTES, lo, hi, weight);
}

/** dst = the tiles of rows [lo, hi) of Q3_K[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_q3kw_q3_k(dst: Q3KW, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packSuperBlocks(dst, src, k, BLOCK_BYTES, STORED_BYTES, lo, hi, pack);
}

function weight(block: usize, r: i32, c: i32): f32 {
  const g = c >> 4;
  const low = <i32>load<u8>(block + (<usize>(g & 7) << 4) + r, SCALES) >> (g < 8 ? 0 : 4);
  const high = <i32>load<u8>(block + (<usize>(g & 3) << 4) + r, SCALES + 128) >> (2 * (g >> 2));
  const s = (low & 15) | ((high & 3) << 4);
  const at = block + CODES + <usize>(192 * (c >> 5) + 48 * (r >> 2) + 4 * (r & 3) + (c & 3));
  const four = c >> 2 & 7;
  let code: i32;
  if (four < 6) code = <i32>load<u8>(at + (<usize>(four >> 1) << 4)) >> (3 * (four & 1)) & 7;
  else code = <i32>load<u8>(at + (<usize>(four - 6) << 4)) >> 6 | (<i32>load<u8>(at, 32) >> four & 1) << 2;
  return half<u16>(block + halfAt(r)) * <f32>(s - 32) * <f32>(code - ZERO);
}

function pack(block: usize, from: usize, rowBytes: usize, rows: i32): void {
  for (let r = 0; r < rows; r++) {
    const stored = from + <usize>r * rowBytes;
    store<u16>(block + halfAt(r), load<u16>(stored, 108));
    for (let i: usize = 0; i < 12; i++) store<u8>(block + (i << 4) + r, load<u8>(stored + i, 96), SCALES);
  }
  const two = i8x16.splat(<i8>0xc0);
  for (let r = 0; r < rows; r += 4) {
    for (let g = 0; g < 8; g++) {
      for (let $i = 0; $i < 4; $i++) {
        let first$i = i8x16.splat(0);
        let last$i = first$i;
        if (r + $i < rows) {
          first$i = storedCodes(from + <usize>(r + $i) * rowBytes, g, 0);
          last$i = storedCodes(from + <usize>(r + $i) * rowBytes, g, 16);
        }
      }
      for (let $i = 0; $i < 4; $i++) {
        let c$i = fourOf($i, first0, first1, first2, first3);
        let d$i = fourOf($i, last0, last1, last2, last3);
      }
      const to = block + CODES + <usize>(192 * g + 48 * (r >> 2));
      v128.store(to, v128.or(v128.or(c0, i16x8.shl(c1, 3)), v128.and(i16x8.shl(d2, 6), two)));
      v128.store(to, v128.or(v128.or(c2, i16x8.shl(c3, 3)), v128.and(i16x8.shl(d3, 6), two)), 16);
      const three = v128.or(i16x8.shl(v128.and(d2, i8x16.splat(4)), 4), i16x8.shl(v128.and(d3, i8x16.splat(4)), 5));
      v128.store(to, v128.or(v128.or(d0, i16x8.shl(d1, 3)), three), 32);
    }
  }
}

/** Codes of columns 32g + c to 32g + c + 15 of a row: bits 0-1 in byte 32 (g div 4) + c, bit 2 in bit g of byte c. */
// @ts-ignore: decorator
@inline function storedCodes(stored: usize, g: i32, c: usize): v128 {
  const twos = v128.and(i16x8.shr_u(v128.load(stored + (<usize>(g >> 2) << 5) + c, 32), 2 * (g & 3)), i8x16.splat(3));
  const high = v128.and(i16x8.shr_u(v128.load(stored + c), g), i8x16.splat(1));
  return v128.or(twos, i16x8.shl(high, 2));
}

function open(opened: usize, block: usize, how: i32): void {
  const three = i8x16.splat(7);
  const low = lowNibbles();
  openD(opened, block);
  for (let g = 0; g < 16; g++) {
    const nibbles = v128.and(i16x8.shr_u(v128.load(block + (<usize>(g & 7) << 4), SCALES), g < 8 ? 0 : 4), low);
    const twos = v128.and(i16x8.shr_u(v128.load(block + (<usize>(g & 3) << 4), SCALES + 128), 2 * (g >> 2)), i8x16.splat(3));
    openScales(opened, g, i8x16.sub(v128.or(nibbles, i16x8.shl(twos, 4)), i8x16.splat(32)));
  }
  let from = block + CODES;
  for (let g = 0; g < 8; g++) {
    const to = openedCodes(opened, g, NARROW);
    for (let v = 0; v < 4; v++, from += 48) {
      const a = v128.load(from);
      const b = v128.load(from, 16);
      const c = v128.load(from, 32);
      openCodes(to, v, 0, v128.and(a, three), NARROW);
      openCodes(to, v, 1, v128.and(i16x8.shr_u(a, 3), three), NARROW);
      openCodes(to, v, 2, v128.and(b, three), NARROW);
      openCodes(to, v, 3, v128.and(i16x8.shr_u(b, 3), three), NARROW);
      openCodes(to, v, 4, v128.and(c, three), NARROW);
      openCodes(to, v, 5, v128.and(i16x8.shr_u(c, 3), three), NARROW);
      openCodes(to, v, 6, v128.or(v128.and(i16x8.shr_u(a, 6), i8x16.splat(3)), v128.and(i16x8.shr_u(c, 4), i8x16.splat(4))), NARROW);
      openCodes(to, v, 7, v128.or(v128.and(i16x8.shr_u(b, 6), i8x16.splat(3)), v128.and(i16x8.shr_u(c, 5), i8x16.splat(4))), NARROW);
    }
  }
}
