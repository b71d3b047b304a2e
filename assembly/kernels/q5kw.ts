// Weights of 5 bits in blocks of 256 columns, groups of 32 columns with scales and minimums of 6 bits: GGUF's Q5_K.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       2816 bytes per block
//   block:            d, dmin, scales, minimums (six-bits.ts) | group of 32 columns 0 | … | group 7
//   group:            codes of rows 0-3 | 4-7 | 8-11 | 12-15 (five-bits.ts)                           80 bytes each
//
//   w[j, c] = d · s · code − dmin · m                                                                 5.5 bits per weight
//   y[t, j] = Σ over blocks of dx · (d · Σ_g s · Σ_c x[t, c] · code − dmin · Σ_g m · Σ_c x[t, c]), x quantized as qk8
//
// Sums of 32 columns would be too large for DOT16: each half of a group is scaled by itself.

import { Bytes, F32, F32Or0, I32, Q5KW, QD8, Scratch } from "../types";
import { FIVE_BITS_BYTES, fiveBits, lastFiveBits, openFiveBits, ownCodes, sharedCodes, storeFiveBits } from "../five-bits";
import { DOT16, DOT32, dotOfNibbles, lowNibbles, PLAIN } from "../int8";
import { openSixBits, packSixBits, SIX_BITS_BYTES, sixBitMinimum, sixBitScale, sixBitScales, subtractMinimums } from "../six-bits";
import { halves, NARROW, openedCodes, pairs } from "../opened-block";
import { blockResult, gemmSuperBlocks } from "../super-blocks";
import { addProducts, BLOCK_COLUMNS, GROUPS_AT, QK8_BYTES, QK8_GROUP_BYTES, scaled } from "../super-products";
import { ROWS } from "../tile";

const GROUP_BYTES: usize = 320;
const BLOCK_BYTES: usize = 2816;
/** A block in Q5_K: d, dmin, 12 bytes of scales and minimums, bit 4 of codes in 32 bytes, 128 bytes of the others. */
const STORED_BYTES: usize = 176;
const STORED_HIGH: usize = 16;
const STORED_CODES: usize = 48;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_q5kw(y: F32, x: QD8, w: Q5KW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 16, 0, 32, dotOfNibbles(), multiplyRow, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_q5kw(y: F32, tokens: I32, w: Q5KW, d: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    let block = w + <usize>(token / ROWS) * <usize>(d / BLOCK_COLUMNS) * BLOCK_BYTES;
    let to = y + (<usize>t * <usize>d << 2);
    for (let b = 0; b < d; b += BLOCK_COLUMNS, block += BLOCK_BYTES) {
      for (let g = 0; g < 8; g++) {
        const s = sixBitScale(block, r, g);
        const m = sixBitMinimum(block, r, g);
        for (let c = 0; c < 32; c++, to += 4) store<f32>(to, scale * (s * <f32>fiveBits(codesAt(block, g, r >> 2), r, c) - m));
      }
    }
  }
}

/** dst = the tiles of rows [lo, hi) of Q5_K[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_q5kw_q5_k(dst: Q5KW, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  const blocks = k / BLOCK_COLUMNS;
  const rowBytes = <usize>blocks * STORED_BYTES;
  const low = lowNibbles();
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    let block = dst + <usize>(j / ROWS) * <usize>blocks * BLOCK_BYTES;
    let from = src + <usize>(j - lo) * rowBytes;
    if (rows < ROWS) memory.fill(block, 0, <usize>blocks * BLOCK_BYTES);
    for (let b = 0; b < blocks; b++, block += BLOCK_BYTES, from += STORED_BYTES) {
      for (let r = 0; r < rows; r++) packSixBits(block, r, from + <usize>r * rowBytes);
      for (let r = 0; r < rows; r += 4) {
        // 32 bytes hold the codes of two groups, one in their low nibbles, one in their high nibbles; bit g of byte c is that
        // of group g and column c.
        for (let g = 0; g < 8; g++) {
          for (let $i = 0; $i < 4; $i++) {
            let first$i = i8x16.splat(0);
            let last$i = first$i;
            if (r + $i < rows) {
              const stored = from + <usize>(r + $i) * rowBytes;
              first$i = storedCodes(stored, g, 0, low);
              last$i = storedCodes(stored, g, 16, low);
            }
          }
          storeFiveBits(codesAt(block, g, r >> 2), first0, first1, first2, first3, last0, last1, last2, last3);
        }
      }
    }
  }
}

/** Codes of group g, columns c to c + 15. */
// @ts-ignore: decorator
@inline function storedCodes(stored: usize, g: i32, c: usize, low: v128): v128 {
  const nibbles = v128.load(stored + (<usize>(g >> 1) << 5) + c, STORED_CODES);
  const high = v128.and(i16x8.shr_u(v128.load(stored + c, STORED_HIGH), g), i8x16.splat(1));
  return v128.or(v128.and(i16x8.shr_u(nibbles, 4 * (g & 1)), low), i16x8.shl(high, 4));
}

/** Where group g of a block has the codes of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline function codesAt(block: usize, g: i32, v: i32): usize {
  return block + SIX_BITS_BYTES + <usize>g * GROUP_BYTES + <usize>v * FIVE_BITS_BYTES;
}

function multiplyRow(f: usize, block: usize, x: usize, blocks: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy(PLAIN, f, block, x, blocks);
  else if (how == DOT16) multiplyBy(DOT16, f, block, x, blocks);
  else multiplyBy(DOT32, f, block, x, blocks);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, f: usize, block: usize, x: usize, blocks: i32): void {
  let a: v128;
  let b: v128;
  let c: v128;
  let d: v128;
  let e: v128;
  for (; blocks > 0; blocks--) {
    subtractMinimums(f, block, x);
    let p = block + SIX_BITS_BYTES;
    let group = x + GROUPS_AT;
    for (let $v = 0; $v < 4; $v++) let sums$v = i32x4.splat(0);
    for (let g = 0; g < 8; g++) {
      for (let $s = 0; $s < 8; $s++) let x$s = v128.load32_splat(group, 8 + 4 * $s);
      const scales = sixBitScales(block, g >> 1, g & 1);
      for (let $v = 0; $v < 4; $v++) {
        let s$v = pairs(scales, scales, $v);
        let a$v = i32x4.splat(0);
        a = v128.load(p, 80 * $v);
        b = v128.load(p, 16 + 80 * $v);
        c = v128.load(p, 32 + 80 * $v);
        d = v128.load(p, 48 + 80 * $v);
        e = v128.load(p, 64 + 80 * $v);
        a$v = addProducts(x0, ownCodes(a), a$v, how);
        a$v = addProducts(x1, ownCodes(b), a$v, how);
        a$v = addProducts(x2, ownCodes(c), a$v, how);
        a$v = addProducts(x3, ownCodes(d), a$v, how);
        if (how == DOT16) {
          sums$v = i32x4.add(sums$v, scaled(a$v, s$v, how));
          a$v = i32x4.splat(0);
        }
        a$v = addProducts(x4, ownCodes(e), a$v, how);
        a$v = addProducts(x5, sharedCodes(a, d), a$v, how);
        a$v = addProducts(x6, sharedCodes(b, e), a$v, how);
        a$v = addProducts(x7, lastFiveBits(c, d, e), a$v, how);
        sums$v = i32x4.add(sums$v, scaled(a$v, s$v, how));
      }
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
  openSixBits(opened, block, 2);
  for (let g = 0; g < 8; g++) for (let v = 0; v < 4; v++) openFiveBits(openedCodes(opened, g, NARROW), v, codesAt(block, g, v));
}
