// Weights of 6 bits in blocks of 256 columns, groups of 16 columns with scales of 8 bits: GGUF's Q6_K.
//
//   tile of 16 rows:  block 0 | block 1 | … | block k / 256 − 1                                       3360 bytes per block
//   block:            d: f16, rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15                              32 bytes
//                     scales s: int8, group 0 | … | group 15; each: rows 0-15                         256 bytes
//                     group of 16 columns 0 | … | group 15                                            192 bytes each
//   group:            rows 0-3 | 4-7 | 8-11 | 12-15; each: A | B | C; each: row 0: 4 bytes | row 1 | row 2 | row 3
//   byte c of A:      code of column c | bits 4-5 of the code of column 12 + c << 6
//   byte c of B:      code of column 4 + c | bits 2-3 of the code of column 12 + c << 6
//   byte c of C:      code of column 8 + c | bits 0-1 of the code of column 12 + c << 6
//   code:             q + 32, q = −32 … 31
//
//   w[j, c] = d · s · q                                                                               6.5625 bits per weight
//   y[t, j] = Σ over blocks of dx · d · Σ_g s · Σ_c x[t, c] · q, x quantized as qk8

import { Bytes, F32, F32Or0, I32, Q6KW, QD8, Scratch } from "../types";
import { DOT16, DOT32, dotOfNibbles, lowNibbles, PLAIN } from "../int8";
import { halves, NARROW, openCodes, openD, openedCodes, openScales, pairs } from "../opened-block";
import { blockResult, fourOf, gemmSuperBlocks } from "../super-blocks";
import { addProducts, BLOCK_COLUMNS, GROUPS_AT, QK8_BYTES, QK8_GROUP_BYTES, scaled, start } from "../super-products";
import { half, halfAt, ROWS } from "../tile";

const ZERO: i32 = 32;
/** Where a block's scales and groups start. */
const SCALES: usize = 32;
const GROUPS: usize = 288;
const GROUP_BYTES: usize = 192;
const BLOCK_BYTES: usize = 3360;
/** A block in Q6_K: low nibbles in 128 bytes, high bits in 64, 16 scales, d. */
const STORED_BYTES: usize = 210;

/** y[t, j] = residual[t, j] + (bias[j] + Σ_c x[t, c] · w[j, c]). Units are rows of w, in multiples of 16. y may be residual. */
export function gemm_qk8_q6kw(y: F32, x: QD8, w: Q6KW, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  gemmSuperBlocks(y, x, w, BLOCK_BYTES, bias, residual, rows, n, k, scratch, lo, hi, 16, ZERO, 0, dotOfNibbles(), multiplyRow, open);
}

/** y[t, :] = scale · w[tokens[t], :]. Units are rows of y. */
export function embed_q6kw(y: F32, tokens: I32, w: Q6KW, d: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    let block = w + <usize>(token / ROWS) * <usize>(d / BLOCK_COLUMNS) * BLOCK_BYTES;
    let to = y + (<usize>t * <usize>d << 2);
    for (let b = 0; b < d; b += BLOCK_COLUMNS, block += BLOCK_BYTES) {
      const factor = half<u16>(block + halfAt(r));
      for (let g = 0; g < 16; g++) {
        const s = factor * <f32>load<i8>(block + (<usize>g << 4) + r, SCALES);
        const group = groupAt(block, g) + vectorsAt(r >> 2) + (<usize>(r & 3) << 2);
        for (let c = 0; c < 16; c++, to += 4) {
          const i = c & 3;
          let code: i32;
          if (c < 12) code = <i32>load<u8>(group + (<usize>(c >> 2) << 4) + i) & 63;
          else code = ((load<u8>(group + i) >> 6) << 4) | ((load<u8>(group + i, 16) >> 6) << 2) | (load<u8>(group + i, 32) >> 6);
          store<f32>(to, scale * (s * <f32>(code - ZERO)));
        }
      }
    }
  }
}

/** dst = the tiles of rows [lo, hi) of Q6_K[n, k]; src holds those rows. Units are rows, in multiples of 16. */
export function pack_q6kw_q6_k(dst: Q6KW, src: Bytes, n: i32, k: i32, lo: i32, hi: i32): void {
  const blocks = k / BLOCK_COLUMNS;
  const rowBytes = <usize>blocks * STORED_BYTES;
  const high = i8x16.splat(<i8>0xc0);
  for (let j = lo; j < hi; j += ROWS) {
    const rows = min(ROWS, hi - j);
    let block = dst + <usize>(j / ROWS) * <usize>blocks * BLOCK_BYTES;
    let from = src + <usize>(j - lo) * rowBytes;
    if (rows < ROWS) memory.fill(block, 0, <usize>blocks * BLOCK_BYTES);
    for (let b = 0; b < blocks; b++, block += BLOCK_BYTES, from += STORED_BYTES) {
      for (let r = 0; r < rows; r++) {
        const stored = from + <usize>r * rowBytes;
        store<u16>(block + halfAt(r), load<u16>(stored, 208));
        for (let g: usize = 0; g < 16; g++) store<u8>(block + (g << 4) + r, load<u8>(stored + g, 192), SCALES);
      }
      for (let r = 0; r < rows; r += 4) {
        for (let g = 0; g < 16; g++) {
          for (let $i = 0; $i < 4; $i++) let row$i = r + $i < rows ? storedCodes(from + <usize>(r + $i) * rowBytes, g) : i8x16.splat(0);
          // Four columns of four rows each.
          for (let $i = 0; $i < 4; $i++) let c$i = fourOf($i, row0, row1, row2, row3);
          const to = groupAt(block, g) + vectorsAt(r >> 2);
          v128.store(to, v128.or(c0, v128.and(i16x8.shl(c3, 2), high)));
          v128.store(to, v128.or(c1, v128.and(i16x8.shl(c3, 4), high)), 16);
          v128.store(to, v128.or(c2, v128.and(i16x8.shl(c3, 6), high)), 32);
        }
      }
    }
  }
}

/** The codes of group g of a row: ql[64h + 32 (q mod 2) + l] has low nibbles of columns 128h + 32q + l, qh[32h + l] 2 bits more of each of four. */
// @ts-ignore: decorator
@inline function storedCodes(stored: usize, g: i32): v128 {
  const h = g >> 3;
  const q = (g >> 1) & 3;
  const l = (g & 1) << 4;
  const nibbles = v128.load(stored + <usize>(64 * h + 32 * (q & 1) + l));
  const twos = v128.load(stored + <usize>(32 * h + l), 128);
  return v128.or(
    v128.and(i16x8.shr_u(nibbles, 4 * (q >> 1)), lowNibbles()),
    i16x8.shl(v128.and(i16x8.shr_u(twos, 2 * q), i8x16.splat(3)), 4),
  );
}

/** Where group g of a block starts. */
// @ts-ignore: decorator
@inline function groupAt(block: usize, g: i32): usize {
  return block + GROUPS + <usize>g * GROUP_BYTES;
}

/** Offset in a group of A of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline function vectorsAt(v: i32): usize {
  return <usize>(48 * v);
}

/** Codes of columns 12-15 from what lies above the others. */
// @ts-ignore: decorator
@inline function lastCodes(a: v128, b: v128, c: v128, high: v128): v128 {
  const upper = v128.or(v128.and(a, high), i16x8.shr_u(v128.and(b, high), 2));
  return i16x8.shr_u(v128.or(upper, i16x8.shr_u(v128.and(c, high), 4)), 2);
}

const MASKS: usize = memory.data<u32>([0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0xc0c0c0c0, 0xc0c0c0c0, 0xc0c0c0c0, 0xc0c0c0c0], 16);

function multiplyRow(f: usize, block: usize, x: usize, blocks: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy(PLAIN, f, block, x, blocks);
  else if (how == DOT16) multiplyBy(DOT16, f, block, x, blocks);
  else multiplyBy(DOT32, f, block, x, blocks);
}

// @ts-ignore: decorator
@inline function multiplyBy(how: i32, f: usize, block: usize, x: usize, blocks: i32): void {
  const low = v128.load(MASKS);
  const high = v128.load(MASKS, 16);
  const zeros = i16x8.splat(<i16>-ZERO);
  for (; blocks > 0; blocks--) {
    let p = block + GROUPS;
    let s = block + SCALES;
    let group = x + GROUPS_AT;
    for (let $v = 0; $v < 4; $v++) let sums$v = i32x4.splat(0);
    for (let g = 0; g < 8; g++) {
      for (let $u = 0; $u < 2; $u++) {
        let start$u = start(v128.load32_splat(group, 4 * $u), zeros, how);
        for (let $v = 0; $v < 4; $v++) let a$u_$v = start$u;
        for (let $s = 0; $s < 4; $s++) let x$u_$s = v128.load32_splat(group, 8 + 16 * $u + 4 * $s);
        for (let $v = 0; $v < 4; $v++) {
          const a = v128.load(p, 48 * $v);
          const b = v128.load(p, 48 * $v + 16);
          const c = v128.load(p, 48 * $v + 32);
          a$u_$v = addProducts(x$u_0, v128.and(a, low), a$u_$v, how);
          a$u_$v = addProducts(x$u_1, v128.and(b, low), a$u_$v, how);
          a$u_$v = addProducts(x$u_2, v128.and(c, low), a$u_$v, how);
          a$u_$v = addProducts(x$u_3, lastCodes(a, b, c, high), a$u_$v, how);
        }
        let scales$u = v128.load(s, 16 * $u);
        for (let $v = 0; $v < 4; $v++) sums$v = i32x4.add(sums$v, scaled(a$u_$v, pairs(scales$u, scales$u, $v), how));
        p += GROUP_BYTES;
      }
      s += 32;
      group += QK8_GROUP_BYTES;
    }
    const dx = v128.load32_splat(x);
    for (let $v = 0; $v < 4; $v++) v128.store(f, blockResult(sums$v, halves(block, $v), dx, v128.load(f, 16 * $v)), 16 * $v);
    block += BLOCK_BYTES;
    x += QK8_BYTES;
  }
}

function open(opened: usize, block: usize, how: i32): void {
  const low = v128.load(MASKS);
  const high = v128.load(MASKS, 16);
  openD(opened, block);
  for (let g = 0; g < 16; g++) {
    openScales(opened, g, v128.load(block + (<usize>g << 4), SCALES));
    const to = openedCodes(opened, g >> 1, NARROW);
    const s = (g & 1) << 2;
    for (let v = 0; v < 4; v++) {
      const from = groupAt(block, g) + vectorsAt(v);
      const a = v128.load(from);
      const b = v128.load(from, 16);
      const c = v128.load(from, 32);
      openCodes(to, v, s, v128.and(a, low), NARROW);
      openCodes(to, v, s + 1, v128.and(b, low), NARROW);
      openCodes(to, v, s + 2, v128.and(c, low), NARROW);
      openCodes(to, v, s + 3, lastCodes(a, b, c, high), NARROW);
    }
  }
}
