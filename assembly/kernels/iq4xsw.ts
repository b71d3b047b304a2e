// Weights of 4 bits that are places in a table of 16 levels (levels.ts), in blocks of 256 columns, groups of 32 columns with
// scales of 6 bits: GGUF's IQ4_XS.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       2176 bytes per block
//   block:            d: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                              32 bytes
//                     6 bytes of scales: byte 0 of rows 0-15 | byte 1 | … | byte 5                    16 bytes each
//                     group of 32 columns 0 | … | group 7, as in levels.ts                            256 bytes each
//   scales:           byte i < 2:  s div 16 of groups 4i | 4i + 1 << 2 | 4i + 2 << 4 | 4i + 3 << 6
//                     byte 2 + i:  s mod 16 of group 2i | of group 2i + 1 << 4                        s = scale + 32
//
//   w[j, c] = d · scale · IQ4[code]                                                                   4.25 bits per weight
//   y[t, j] = Σ over blocks of dx · d · Σ_g scale · Σ_c x[t, c] · level, x quantized as qk8

import { Bytes, F32, F32Or0, I32, IQ4XSW, QD8, Scratch } from "../types";
import { DOT32, lowNibbles, PLAIN } from "../int8";
import { GROUP_BYTES, howOf, IQ4, levelOf, openLevels, packLevels, tableOf, zeroOf } from "../levels";
import { lookup } from "../simd";
import { halves, openD, openedCodes, openScales, pairs } from "../opened-block";
import { blockResult, embedSuperBlocks, gemmSuperBlocks, packSuperBlocks } from "../super-blocks";
import { addProducts, GROUPS_AT, QK8_BYTES, QK8_GROUP_BYTES, scaled } from "../super-products";
import { half, halfAt } from "../tile";

const HIGH: usize = 32;
const LOW: usize = 64;
const GROUPS: usize = 128;
const BLOCK_BYTES: usize = 2176;
/** A block in IQ4_XS: d, scales, 128 bytes of codes. */
const STORED_BYTES: usize = 136;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_iq4xsw(y: F32, x: QD8, w: IQ4XSW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 16, zeroOf(IQ4), 0, howOf(IQ4), multiplyRow, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_iq4xsw(y: F32, tokens: I32, w: IQ4XSW, d: i32, scale: f32, lo: i32, hi: i32): void {
  embedSuperBlocks(y, tokens, w, d, scale, BLOCK_BYTES, lo, hi, weight);
}

/** dst = the tiles of rows [lo, hi) of IQ4_XS[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_iq4xsw_iq4_xs(dst: IQ4XSW, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  packSuperBlocks(dst, src, k, BLOCK_BYTES, STORED_BYTES, lo, hi, pack);
}

function weight(block: usize, r: i32, c: i32): f32 {
  const g = c >> 5;
  const low = <i32>load<u8>(block + (<usize>(g >> 1) << 4) + r, LOW) >> (4 * (g & 1));
  const high = <i32>load<u8>(block + (<usize>(g >> 2) << 4) + r, HIGH) >> (2 * (g & 3));
  const s = ((low & 15) | ((high & 3) << 4)) - 32;
  return half<u16>(block + halfAt(r)) * <f32>s * <f32>levelOf(IQ4, block + GROUPS + <usize>g * GROUP_BYTES, r, c & 31);
}

function pack(block: usize, from: usize, rowBytes: usize, rows: i32): void {
  for (let r = 0; r < rows; r++) {
    const stored = from + <usize>r * rowBytes;
    store<u16>(block + halfAt(r), load<u16>(stored));
    for (let i: usize = 0; i < 6; i++) store<u8>(block + (i << 4) + r, load<u8>(stored + i, 2), HIGH);
  }
  for (let g: usize = 0; g < 8; g++) packLevels(block + GROUPS + g * GROUP_BYTES, from + 8 + (g << 4), rowBytes, rows);
}

/** Scales of group g, rows 0-15. */
// @ts-ignore: decorator
@inline function scalesOf(block: usize, g: i32): v128 {
  const low = v128.and(i16x8.shr_u(v128.load(block + (<usize>(g >> 1) << 4), LOW), 4 * (g & 1)), lowNibbles());
  const high = v128.and(i16x8.shr_u(v128.load(block + (<usize>(g >> 2) << 4), HIGH), 2 * (g & 3)), i8x16.splat(3));
  return i8x16.sub(v128.or(low, i16x8.shl(high, 4)), i8x16.splat(32));
}

function multiplyRow(f: usize, block: usize, x: usize, blocks: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD || how == PLAIN) multiplyBy(PLAIN, f, block, x, blocks);
  else multiplyBy(DOT32, f, block, x, blocks);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, f: usize, block: usize, x: usize, blocks: i32): void {
  const zeros = i16x8.splat(<i16>-zeroOf(IQ4));
  const table = tableOf(IQ4);
  const low = lowNibbles();
  let x0: v128;
  let x1: v128;
  let codes: v128;
  for (; blocks > 0; blocks--) {
    let p = block + GROUPS;
    let group = x + GROUPS_AT;
    for (let $v = 0; $v < 4; $v++) let sums$v = i32x4.splat(0);
    for (let g = 0; g < 8; g++) {
      const start = i32x4.add(i32x4.dot_i16x8_s(v128.load32_splat(group), zeros), i32x4.dot_i16x8_s(v128.load32_splat(group, 4), zeros));
      for (let $v = 0; $v < 4; $v++) let a$v = start;
      for (let s: usize = 0; s < 16; s += 4) {
        x0 = v128.load32_splat(group + s, 8);
        x1 = v128.load32_splat(group + s, 24);
        for (let $v = 0; $v < 4; $v++) {
          codes = v128.load(p + (s << 3), 128 * ($v / 2) + 16 * ($v % 2));
          a$v = addProducts(x0, lookup(table, v128.and(codes, low)), a$v, how);
          a$v = addProducts(x1, lookup(table, v128.and(i16x8.shr_u(codes, 4), low)), a$v, how);
        }
      }
      const scales = scalesOf(block, g);
      for (let $v = 0; $v < 4; $v++) sums$v = i32x4.add(sums$v, scaled(a$v, pairs(scales, scales, $v), how));
      p += GROUP_BYTES;
      group += QK8_GROUP_BYTES;
    }
    const dx = v128.load32_splat(x);
    for (let $v = 0; $v < 4; $v++) v128.store(f, blockResult(sums$v, halves(block, $v), dx, v128.load(f, 16 * $v)), 16 * $v);
    block += BLOCK_BYTES;
    x += QK8_BYTES;
  }
}

function open(opened: usize, block: usize, how: i32): void {
  openD(opened, block);
  for (let g = 0; g < 8; g++) {
    const scales = scalesOf(block, g);
    // One for each half of a group.
    openScales(opened, 2 * g, scales);
    openScales(opened, 2 * g + 1, scales);
    openLevels(openedCodes(opened, g, how), IQ4, block + GROUPS + <usize>g * GROUP_BYTES, how);
  }
}
