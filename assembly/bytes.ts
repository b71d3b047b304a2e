// Weights of a byte each, integers or floats, in blocks of `block` columns with an f32 scale each.
//
//   tile of 16 rows:  INT8: sums R: f32, rows 0-15 (64 bytes) | block 0 | block 1 | …; a last block may have fewer columns
//   block:            scales: f32, rows 0-15 (64 bytes) | group of 32 columns | group | …
//   group:            rows 0-7 | rows 8-15                                                                512 bytes
//   8 rows:           columns 0-3 | 4-7 | … | 28-31; each: row 0: 4 bytes | row 1 | … | row 7
//   byte:             INT8: q + 128, q = −128 … 127; else a float of 8 bits. What is past the last row or column is zero
//
// A block's floats are those of the file · 2^p, and its scale is the file's · 2^-p, where p brings the largest float to the
// highest exponent (float8.ts says why).
//
//   w[j, c] = scale · q, or scale · float        8 + 32 / block bits per weight, and INT8 32 per row
//   R[j] = Σ_c w[j, c]
//
// Scales of 16 bits are widened: that is 16 / block bits per weight more than in files, and one kernel instead of three.

import { byte } from "./float32";
import { Float8, float8, halfPower, lift, roomAbove } from "./float8";
import { codesBytes, dotsAreSigned, FLOATS, GROUP, MINIMA_BYTES, PLAIN, SCALES_BYTES, sumOfBytes, unpackBytes } from "./int8";
import { bytesOf, scaleAt, ScaleType } from "./scales";
import { madd } from "./simd";
import { ROWS, storeTransposed } from "./tile";

/** What the bytes are: INT8 or a format of floats. */
export type Kind = Float8;
export const INT8: Kind = 0;

export const GROUP_BYTES: usize = 512;

/** Columns per scale, a multiple of 32, of what kernels are told: 0, or at least k, where a row is one block. */
export function blockOf(k: i32, block: i32): i32 {
  return block == 0 || block >= k ? (k + GROUP - 1) & -GROUP : block;
}

/** Where a tile's first block starts. */
// @ts-ignore: decorator
@inline export function headerBytes(kind: Kind): usize {
  return kind == INT8 ? 64 : 0;
}

// @ts-ignore: decorator
@inline export function tileBytes(kind: Kind, k: i32, block: i32): usize {
  return headerBytes(kind) + <usize>((k + block - 1) / block) * SCALES_BYTES + <usize>((k + GROUP - 1) / GROUP) * GROUP_BYTES;
}

/** Where the scales of block b lie in a tile. */
// @ts-ignore: decorator
@inline export function scalesAt(kind: Kind, b: i32, block: i32): usize {
  return headerBytes(kind) + <usize>b * (SCALES_BYTES + <usize>(block / GROUP) * GROUP_BYTES);
}

/** Where group g lies in a tile. */
// @ts-ignore: decorator
@inline function groupAt(kind: Kind, g: i32, block: i32): usize {
  return headerBytes(kind) + <usize>(g * GROUP / block + 1) * SCALES_BYTES + <usize>g * GROUP_BYTES;
}

/** Offset in a group of the byte of row r, column c. */
// @ts-ignore: decorator
@inline function byteAt(r: i32, c: i32): usize {
  return <usize>(((r & 8) << 5) | ((c & 28) << 3) | ((r & 7) << 2) | (c & 3));
}

/** f[0 .. 16) += the sums of one row of f32 over the first `groups` groups. */
// @ts-ignore: decorator
@inline export function multiplyBytes(kind: Kind, f: usize, tile: usize, x: usize, groups: i32, block: i32): void {
  const flip = i8x16.splat(-128);
  // Twice the power that floats lack is spread over inputs and scales, so that no product on the way is out of f32's range.
  const power = kind == INT8 ? f32x4.splat(1) : halfPower(kind);
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let p = tile + headerBytes(kind);
  while (groups > 0) {
    for (let $v = 0; $v < 4; $v++) let s$v = kind == INT8 ? v128.load(p, 16 * $v) : f32x4.mul(v128.load(p, 16 * $v), power);
    p += SCALES_BYTES;
    for (const end = max(groups - block / GROUP, 0); groups > end; groups--) {
      for (let $v = 0; $v < 4; $v++) let a$v = f32x4.splat(0);
      for (let s = 0; s < 8; s++) {
        for (let $i = 0; $i < 4; $i++) let x$i = kind == INT8 ? v128.load32_splat(x, 4 * $i) : f32x4.mul(v128.load32_splat(x, 4 * $i), power);
        for (let $v = 0; $v < 4; $v++) {
          const stored = v128.load(p, 256 * ($v / 2) + 16 * ($v % 2));
          const bytes = kind == INT8 ? v128.xor(stored, flip) : stored;
          for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, kind == INT8 ? byte(bytes, $i) : float8(kind, bytes, $i), a$v);
        }
        p += 32;
        x += 16;
      }
      p += 256;
      for (let $v = 0; $v < 4; $v++) f$v = madd(a$v, s$v, f$v);
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

/**
 * Writes scales and values of groups [group, group + count) as they are multiplied; INT8 for integer products with the zeros
 * of each row, which are all alike.
 */
export function unpackGroups(kind: Kind, scales: usize, values: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  const zeros = i16x8.splat(<i16>-zeroOf(how));
  for (let g = group; g < group + count; g++) {
    const from = tile + groupAt(kind, g, block);
    memory.copy(scales, tile + scalesAt(kind, g * GROUP / block, block), SCALES_BYTES);
    scales += SCALES_BYTES;
    if (how != FLOATS) {
      for (let $v = 0; $v < 4; $v++) v128.store(scales, zeros, 16 * $v);
      scales += MINIMA_BYTES;
    }
    if (kind == INT8) unpackBytes(values, from, how);
    else unpackFloats(kind, values, from);
    values += codesBytes(how);
  }
}

/** What comes off the codes of INT8 where they are multiplied as they are: nothing where products take them as signed. */
// @ts-ignore: decorator
@inline export function zeroOf(how: i32): i32 {
  return how != PLAIN && dotsAreSigned() ? 0 : 128;
}

/** A group's floats as f32: column 0 | column 1 | …, of 16 rows each. */
function unpackFloats(format: Float8, to: usize, from: usize): void {
  const power = halfPower(format);
  for (let c = 0; c < GROUP; c += 4, to += 256) {
    for (let v: usize = 0; v < 4; v++) {
      const bytes = v128.load(from + byteAt(<i32>v << 2, c));
      for (let $i = 0; $i < 4; $i++) v128.store(to + (v << 4), f32x4.mul(f32x4.mul(float8(format, bytes, $i), power), power), 64 * $i);
    }
  }
}

/** What a byte stands for. */
// @ts-ignore: decorator
@inline function valueOf(kind: Kind, code: i32): f32 {
  if (kind == INT8) return <f32>(code - 128);
  return f32x4.extract_lane(f32x4.mul(f32x4.mul(float8(kind, i32x4.splat(code), 0), halfPower(kind)), halfPower(kind)), 0);
}

/** y[t, :] = scale · w[tokens[t], :] */
// @ts-ignore: decorator
@inline export function embedBytes(kind: Kind, y: usize, tokens: usize, w: usize, d: i32, block: i32, scale: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const tile = w + <usize>(token / ROWS) * tileBytes(kind, d, block);
    let to = y + (<usize>t * <usize>d << 2);
    for (let c = 0; c < d; c++, to += 4) {
      const s = load<f32>(tile + scalesAt(kind, c / block, block) + (<usize>r << 2));
      const code = <i32>load<u8>(tile + groupAt(kind, c / GROUP, block) + byteAt(r, c));
      store<f32>(to, scale * (s * valueOf(kind, code)));
    }
  }
}

/**
 * Packs rows [lo, hi) of a matrix [n, k] of bytes with scales [n, ⌈k / block⌉], which are 1 throughout where `scales` is 0.
 * codes and scales hold those rows.
 */
export function packBytes(kind: Kind, dst: usize, codes: usize, type: ScaleType, scales: usize, k: i32, block: i32, lo: i32, hi: i32): void {
  const flip = i8x16.splat(kind == INT8 ? -128 : 0);
  const whole = k & -16;
  for (let j = lo; j < hi; j += ROWS) {
    const tile = dst + <usize>(j / ROWS) * tileBytes(kind, k, block);
    const rows = min(ROWS, hi - j);
    if (rows < ROWS || k % GROUP != 0) memory.fill(tile, 0, tileBytes(kind, k, block));
    let c = 0;
    if (rows == ROWS) {
      // 4 rows × 4 columns at a time: 32-bit lanes are transposed.
      for (; c < whole; c += 16) {
        const to = tile + groupAt(kind, c / GROUP, block);
        for (let r = 0; r < ROWS; r += 4) {
          const from = codes + <usize>r * <usize>k + <usize>c;
          for (let $i = 0; $i < 4; $i++) let row$i = v128.xor(v128.load(from + $i * <usize>k), flip);
          storeTransposed(to + byteAt(r, c), 32, row0, row1, row2, row3);
        }
      }
    }
    for (; c < k; c++) {
      const to = tile + groupAt(kind, c / GROUP, block);
      for (let r = 0; r < rows; r++) store<u8>(to + byteAt(r, c), load<u8>(codes + <usize>r * <usize>k + <usize>c) ^ (kind == INT8 ? 128 : 0));
    }
    for (let r = 0; r < rows; r++, codes += k) {
      let total: f32 = 0;
      for (let b = 0, c = 0; c < k; b++, c += block) {
        let scale: f32 = scales == 0 ? 1 : scaleAt(type, scales);
        if (scales != 0) scales += bytesOf(type);
        if (kind == INT8) total += <f32>sumOfBytes(codes + c, block) * scale;
        else scale = liftBlock(kind, tile, r, c, min(block, k - c), block, largest(codes + c, min(block, k - c)), scale);
        store<f32>(tile + scalesAt(kind, b, block) + (<usize>r << 2), scale);
      }
      if (kind == INT8) store<f32>(tile + (<usize>r << 2), total);
    }
  }
}

/** Scales whose quotient by the highest power of two is still no denormal f32. */
const LEAST_SCALE: f32 = 2e-28;

/** Lifts the floats of row r in columns [c, c + count), the largest of which is `most`; returns the scale that they have then. */
function liftBlock(format: Float8, tile: usize, r: i32, c: i32, count: i32, block: i32, most: i32, scale: f32): f32 {
  const power = abs(scale) < LEAST_SCALE ? 0 : roomAbove(format, most);
  if (power == 0) return scale;
  for (const end = c + count; c < end; c++) {
    const at = tile + groupAt(format, c / GROUP, block) + byteAt(r, c);
    store<u8>(at, lift(format, load<u8>(at), power));
  }
  return scale * reinterpret<f32>((127 - power) << 23);
}

/** The largest of some floats without their signs. */
function largest(at: usize, count: i32): i32 {
  const magnitudes = i8x16.splat(127);
  let vector = i8x16.splat(0);
  for (; count >= 16; count -= 16, at += 16) vector = i8x16.max_u(vector, v128.and(v128.load(at), magnitudes));
  let most = 0;
  for (let $i = 0; $i < 16; $i++) most = max(most, <i32>i8x16.extract_lane_u(vector, $i));
  for (; count > 0; count--, at++) most = max(most, <i32>load<u8>(at) & 127);
  return most;
}
