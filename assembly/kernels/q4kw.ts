// Weights of 4 bits in blocks of 256 columns, groups of 32 columns with scales and minimums of 6 bits: GGUF's Q4_K.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       2304 bytes per block
//   block:            d, dmin, scales, minimums (six-bits.ts) | group of 32 columns 0 | … | group 7
//   group:            rows 0-7 | rows 8-15                                                            256 bytes
//   8 rows:           columns 0-3 and 16-19 | 4-7 and 20-23 | …; each: row 0: 4 bytes | row 1 | … | row 7
//   byte:             code of column c in the low nibble, of column c + 16 in the high nibble
//
//   w[j, c] = d · s · code − dmin · m                                                                 4.5 bits per weight
//   y[t, j] = Σ over blocks of dx · (d · Σ_g s · Σ_c x[t, c] · code − dmin · Σ_g m · Σ_c x[t, c]), x quantized as qk8

import { Bytes, F32, F32Or0, I32, Q4KW, QD8, Scratch } from "../types";
import { dot, DOT16, DOT32, dotOfNibbles, even, lowestNibbles, lowNibbles, odd, PLAIN } from "../int8";
import { openSixBits, packSixBits, SIX_BITS_BYTES, sixBitMinimum, sixBitScale, sixBitScales, subtractMinimums } from "../six-bits";
import { halves, NARROW, openCodes, openedCodes, pairs } from "../opened-block";
import { blockResult, gemmSuperBlocks } from "../super-blocks";
import { addProducts, BLOCK_COLUMNS, GROUPS_AT, QK8_BYTES, QK8_GROUP_BYTES, scaled } from "../super-products";
import { ROWS, storeTransposed } from "../tile";

const GROUP_BYTES: usize = 256;
const BLOCK_BYTES: usize = 2304;
/** A block in Q4_K: d, dmin, 12 bytes of scales and minimums, 128 bytes of codes. */
const STORED_BYTES: usize = 144;
const STORED_CODES: usize = 16;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_q4kw(y: F32, x: QD8, w: Q4KW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 32, 0, 32, dotOfNibbles(), multiplyRow, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_q4kw(y: F32, tokens: I32, w: Q4KW, d: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    let block = w + <usize>(token / ROWS) * <usize>(d / BLOCK_COLUMNS) * BLOCK_BYTES;
    let to = y + (<usize>t * <usize>d << 2);
    for (let b = 0; b < d; b += BLOCK_COLUMNS, block += BLOCK_BYTES) {
      for (let g = 0; g < 8; g++) {
        const s = sixBitScale(block, r, g);
        const m = sixBitMinimum(block, r, g);
        for (let c = 0; c < 32; c++, to += 4) {
          const byte = <i32>load<u8>(groupAt(block, g) + codeAt(r, c & 15));
          store<f32>(to, scale * (s * <f32>(c < 16 ? byte & 15 : byte >> 4) - m));
        }
      }
    }
  }
}

/** dst = the tiles of rows [lo, hi) of Q4_K[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_q4kw_q4_k(dst: Q4KW, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
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
        // 32 bytes hold the codes of two groups, one in their low nibbles, one in their high nibbles.
        for (let g = 0; g < 8; g += 2) {
          for (let $i = 0; $i < 4; $i++) {
            let first$i = i8x16.splat(0);
            let second$i = first$i;
            if (r + $i < rows) {
              const at = from + <usize>(r + $i) * rowBytes + (<usize>g << 4);
              first$i = v128.load(at, STORED_CODES);
              second$i = v128.load(at, STORED_CODES + 16);
            }
            let even$i = v128.or(v128.and(first$i, low), i16x8.shl(v128.and(second$i, low), 4));
            let odd$i = v128.or(v128.and(i16x8.shr_u(first$i, 4), low), v128.andnot(second$i, low));
          }
          storeTransposed(groupAt(block, g) + codeAt(r, 0), 32, even0, even1, even2, even3);
          storeTransposed(groupAt(block, g + 1) + codeAt(r, 0), 32, odd0, odd1, odd2, odd3);
        }
      }
    }
  }
}

/** Where group g of a block starts. */
// @ts-ignore: decorator
@inline function groupAt(block: usize, g: i32): usize {
  return block + SIX_BITS_BYTES + <usize>g * GROUP_BYTES;
}

/** Offset in a group of the byte of row r and columns c and c + 16. */
// @ts-ignore: decorator
@inline function codeAt(r: i32, c: i32): usize {
  return <usize>(((r & 8) << 4) | ((c & 12) << 3) | ((r & 7) << 2) | (c & 3));
}

function multiplyRow(f: usize, block: usize, x: usize, blocks: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy(PLAIN, f, block, x, blocks);
  else if (how == DOT16) multiplyBy(DOT16, f, block, x, blocks);
  else multiplyBy(DOT32, f, block, x, blocks);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, f: usize, block: usize, x: usize, blocks: i32): void {
  const low = how == PLAIN ? lowestNibbles() : lowNibbles();
  let codes: v128;
  let x0: v128;
  let x1: v128;
  for (; blocks > 0; blocks--) {
    subtractMinimums(f, block, x);
    let p = block + SIX_BITS_BYTES;
    let group = x + GROUPS_AT;
    for (let $v = 0; $v < 4; $v++) let sums$v = i32x4.splat(0);
    for (let i = 0; i < 4; i++) {
      for (let $u = 0; $u < 2; $u++) {
        for (let $v = 0; $v < 4; $v++) let a$u_$v = i32x4.splat(0);
        for (let $s = 0; $s < 4; $s++) {
          x0 = v128.load32_splat(group, 8 + 4 * $s);
          x1 = v128.load32_splat(group, 24 + 4 * $s);
          if (how == PLAIN) {
            const even0 = even(x0);
            const odd0 = odd(x0);
            const even1 = even(x1);
            const odd1 = odd(x1);
            for (let $v = 0; $v < 4; $v++) {
              codes = v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
              a$u_$v = dot(even0, v128.and(codes, low), a$u_$v);
              a$u_$v = dot(even1, v128.and(i16x8.shr_u(codes, 4), low), a$u_$v);
              a$u_$v = dot(odd0, v128.and(i16x8.shr_u(codes, 8), low), a$u_$v);
              a$u_$v = dot(odd1, i16x8.shr_u(codes, 12), a$u_$v);
            }
          } else {
            for (let $v = 0; $v < 4; $v++) {
              codes = v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
              a$u_$v = addProducts(x0, v128.and(codes, low), a$u_$v, how);
              a$u_$v = addProducts(x1, v128.and(i16x8.shr_u(codes, 4), low), a$u_$v, how);
            }
          }
        }
        let scales$u = sixBitScales(block, i, $u);
        for (let $v = 0; $v < 4; $v++) sums$v = i32x4.add(sums$v, scaled(a$u_$v, pairs(scales$u, scales$u, $v), how));
        p += GROUP_BYTES;
        group += QK8_GROUP_BYTES;
      }
    }
    const dx = v128.load32_splat(x);
    for (let $v = 0; $v < 4; $v++) v128.store(f, blockResult(sums$v, halves(block, $v), dx, v128.load(f, 16 * $v)), 16 * $v);
    block += BLOCK_BYTES;
    x += QK8_BYTES;
  }
}

function open(opened: usize, block: usize, how: i32): void {
  const low = lowNibbles();
  openSixBits(opened, block, 1);
  for (let g = 0; g < 8; g++) {
    const to = openedCodes(opened, g, NARROW);
    for (let v = 0; v < 4; v++) {
      for (let s = 0; s < 4; s++) {
        const codes = v128.load(groupAt(block, g) + codeAt(4 * v, 4 * s));
        openCodes(to, v, s, v128.and(codes, low), NARROW);
        openCodes(to, v, s + 4, v128.and(i16x8.shr_u(codes, 4), low), NARROW);
      }
    }
  }
}
