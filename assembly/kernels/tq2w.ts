// Weights −1, 0, 1 and 2 in blocks of 256 columns with an f16 scale: GGUF's TQ2_0.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       1056 bytes per block
//   block:            d: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                              32 bytes
//                     codes of 16 columns | of the next 16 | … (two-bits.ts)                          64 bytes each
//   code:             q + 1
//
//   w[j, c] = d · q                                                                                   2.0625 bits per weight
//   y[t, j] = Σ over blocks of dx · d · Σ_c x[t, c] · q, x quantized as qk8

import { Bytes, F32, F32Or0, I32, QD8, Scratch, TQ2W } from "../types";
import { dotOfNibbles } from "../int8";
import { openD, openOne } from "../opened-block";
import { embedSuperBlocks, gemmSuperBlocks, packSuperBlocks } from "../super-blocks";
import { half, halfAt } from "../tile";
import { openTwoBits, packTwoBits, twoBits } from "../two-bits";

const ZERO: i32 = 1;
const CODES: usize = 32;
const BLOCK_BYTES: usize = 1056;
/** A block in TQ2_0: 64 bytes of codes, d. */
const STORED_BYTES: usize = 66;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_tq2w(y: F32, x: QD8, w: TQ2W, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 16, ZERO, 0, dotOfNibbles(), null, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_tq2w(y: F32, tokens: I32, w: TQ2W, d: i32, scale: f32, lo: i32, hi: i32): void {
  embedSuperBlocks(y, tokens, w, d, scale, BLOCK_BYTES, lo, hi, weight);
}

/** dst = the tiles of rows [lo, hi) of TQ2_0[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_tq2w_tq2_0(dst: TQ2W, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packSuperBlocks(dst, src, k, BLOCK_BYTES, STORED_BYTES, lo, hi, pack);
}

function weight(block: usize, r: i32, c: i32): f32 {
  return half<u16>(block + halfAt(r)) * <f32>(twoBits(block + CODES, r, c) - ZERO);
}

function pack(block: usize, from: usize, rowBytes: usize, rows: i32): void {
  for (let r = 0; r < rows; r++, from += rowBytes) {
    store<u16>(block + halfAt(r), load<u16>(from, 64));
    packTwoBits(block + CODES, from, r);
  }
}

function open(opened: usize, block: usize, how: i32): void {
  openD(opened, block);
  openOne(opened);
  openTwoBits(opened, block + CODES);
}
