// Weights of 2 bits in blocks of 256 columns, groups of 16 columns with scales and minimums of 4 bits: GGUF's Q2_K.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       1344 bytes per block
//   block:            d | dmin: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                       32 bytes each
//                     group 0 | … | group 15 of 16 columns; each: rows 0-15, s | m << 4               16 bytes each
//                     codes of group 0 | … | group 15 (two-bits.ts)                                   64 bytes each
//
//   w[j, c] = d · s · code − dmin · m                                                                 2.625 bits per weight
//   y[t, j] = Σ over blocks of dx · (d · Σ_g s · Σ_c x[t, c] · code − dmin · Σ_g m · Σ_c x[t, c]), x quantized as qk8

import { Bytes, F32, F32Or0, I32, Q2KW, QD8, Scratch } from "../types";
import { dotOfNibbles, lowNibbles } from "../int8";
import { openD, openDmin, openMinimums, openScales } from "../opened-block";
import { embedSuperBlocks, gemmSuperBlocks, packSuperBlocks } from "../super-blocks";
import { half, halfAt } from "../tile";
import { openTwoBits, packTwoBits, twoBits } from "../two-bits";

const DMIN: usize = 32;
const SCALES: usize = 64;
const CODES: usize = 320;
const BLOCK_BYTES: usize = 1344;
/** A block in Q2_K: 16 bytes of scales and minimums, 64 of codes, d, dmin. */
const STORED_BYTES: usize = 84;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_q2kw(y: F32, x: QD8, w: Q2KW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 16, 0, 16, dotOfNibbles(), null, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_q2kw(y: F32, tokens: I32, w: Q2KW, d: i32, scale: f32, lo: i32, hi: i32): void {
  embedSuperBlocks(y, tokens, w, d, scale, BLOCK_BYTES, lo, hi, weight);
}

/** dst = the tiles of rows [lo, hi) of Q2_K[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_q2kw_q2_k(dst: Q2KW, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packSuperBlocks(dst, src, k, BLOCK_BYTES, STORED_BYTES, lo, hi, pack);
}

function weight(block: usize, r: i32, c: i32): f32 {
  const both = <i32>load<u8>(block + (<usize>(c >> 4) << 4) + r, SCALES);
  const scaled = half<u16>(block + halfAt(r)) * <f32>(both & 15) * <f32>twoBits(block + CODES, r, c);
  return scaled - half<u16>(block + DMIN + halfAt(r)) * <f32>(both >> 4);
}

function pack(block: usize, from: usize, rowBytes: usize, rows: i32): void {
  for (let r = 0; r < rows; r++, from += rowBytes) {
    store<u16>(block + halfAt(r), load<u16>(from, 80));
    store<u16>(block + halfAt(r), load<u16>(from, 82), DMIN);
    for (let g: usize = 0; g < 16; g++) store<u8>(block + (g << 4) + r, load<u8>(from + g), SCALES);
    packTwoBits(block + CODES, from + 16, r);
  }
}

function open(opened: usize, block: usize, how: i32): void {
  const low = lowNibbles();
  openD(opened, block);
  openDmin(opened, block + DMIN);
  for (let g = 0; g < 16; g++) {
    const both = v128.load(block + (<usize>g << 4), SCALES);
    const minimums = v128.and(i16x8.shr_u(both, 4), low);
    openScales(opened, g, v128.and(both, low));
    openMinimums(opened, g, minimums, minimums);
  }
  openTwoBits(opened, block + CODES);
}
