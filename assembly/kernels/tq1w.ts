// Weights −1, 0 and 1, five to a byte, in blocks of 256 columns with an f16 scale: GGUF's TQ1_0.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       864 bytes per block
//   block:            d: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                              32 bytes
//                     bytes 0-3 of rows 0-3 | 4-7 | 8-11 | 12-15 | bytes 4-7 | … | bytes 48-51        64 bytes each
//   byte b:           b / 256 in base 3 begins with the digits of columns
//                     i + 32n, n = 0 … 4, for byte i = 0 … 31;  160 + i + 16n for byte 32 + i;  240 + i + 4n, n = 0 … 3, for 48 + i
//   digit:            q + 1
//
//   w[j, c] = d · q                                                                                   1.6875 bits per weight
//   y[t, j] = Σ over blocks of dx · d · Σ_c x[t, c] · q, x quantized as qk8

import { Bytes, F32, F32Or0, I32, QD8, Scratch, TQ1W } from "../types";
import { dotOfNibbles } from "../int8";
import { NARROW, openCodes, openD, openedCodes, openOne } from "../opened-block";
import { embedSuperBlocks, gemmSuperBlocks, packSuperBlocks } from "../super-blocks";
import { half, halfAt } from "../tile";

const ZERO: i32 = 1;
const CODES: usize = 32;
const BLOCK_BYTES: usize = 864;
/** A block in TQ1_0: 52 bytes of digits, d. */
const STORED_BYTES: usize = 54;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_tq1w(y: F32, x: QD8, w: TQ1W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 16, ZERO, 0, dotOfNibbles(), null, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_tq1w(y: F32, tokens: I32, w: TQ1W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embedSuperBlocks(y, tokens, w, d, scale, BLOCK_BYTES, lo, hi, weight);
}

/** dst = the tiles of rows [lo, hi) of TQ1_0[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_tq1w_tq1_0(dst: TQ1W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packSuperBlocks(dst, src, k, BLOCK_BYTES, STORED_BYTES, lo, hi, pack);
}

function weight(block: usize, r: i32, c: i32): f32 {
  let byte = c & 31;
  let digit = c >> 5;
  if (c >= 240) {
    byte = 48 + (c & 3);
    digit = c - 240 >> 2;
  } else if (c >= 160) {
    byte = 32 + (c & 15);
    digit = c - 160 >> 4;
  }
  let rest = <i32>load<u8>(block + <usize>((byte >> 2 << 6) | (r << 2) | (byte & 3)), CODES);
  for (; digit > 0; digit--) rest = rest * 3 & 255;
  return half<u16>(block + halfAt(r)) * <f32>((rest * 3 >> 8) - ZERO);
}

function pack(block: usize, from: usize, rowBytes: usize, rows: i32): void {
  for (let r = 0; r < rows; r++, from += rowBytes) {
    store<u16>(block + halfAt(r), load<u16>(from, 52));
    for (let i: usize = 0; i < 13; i++) store<u32>(block + (i << 6) + (<usize>r << 2), load<u32>(from + (i << 2)), CODES);
  }
}

function open(opened: usize, block: usize, how: i32): void {
  openD(opened, block);
  openOne(opened);
  for (let i = 0; i < 13; i++) {
    // Bytes 4i to 4i + 3 begin at this column, and their next digits so many columns on.
    const first = i < 8 ? 4 * i : i < 12 ? 128 + 4 * i : 240;
    const step = i < 8 ? 32 : i < 12 ? 16 : 4;
    const count = i < 12 ? 5 : 4;
    for (let v = 0; v < 4; v++) {
      let rest = v128.load(block + <usize>((i << 6) | (v << 4)), CODES);
      for (let n = 0, c = first; n < count; n++, c += step) {
        const low = i16x8.mul(i16x8.extend_low_i8x16_u(rest), i16x8.splat(3));
        const high = i16x8.mul(i16x8.extend_high_i8x16_u(rest), i16x8.splat(3));
        openCodes(openedCodes(opened, c >> 5, NARROW), v, (c & 31) >> 2, i8x16.narrow_i16x8_u(i16x8.shr_u(low, 8), i16x8.shr_u(high, 8)), NARROW);
        rest = i8x16.add(rest, i8x16.add(rest, rest));
      }
    }
  }
}
