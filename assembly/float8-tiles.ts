// Weights as floats of 8 bits (float8.ts) in blocks of `block` columns with a scale each, of the type that the file has.
//
//   tile of 16 rows:  block 0 | block 1 | …; a last block may have fewer columns
//   block:            scales (scales.ts) | group of 32 columns | group | …
//   group:            rows 0-7 | rows 8-15                                                                512 bytes
//   8 rows:           columns 0-3 | 4-7 | … | 28-31; each: row 0: 4 bytes | row 1 | … | row 7
//   byte:             a float of 8 bits. What is past the last row or column is zero
//
// A block's floats are those of the file · 2^p, and its scale is the file's · 2^-p, where p brings the largest float to the
// highest exponent (float8.ts says why), or the scale to the least that is not denormal.
//
//   w[j, c] = scale · float        8 + scale / block bits per weight

import { Float8, float8, halfPower, lift, roomAbove } from "./float8";
import { codesBytes, FLOATS, GROUP, SCALES_BYTES } from "./int8";
import { Blocks, blocksOf, bytesOf, columnsOf, lowerScale, openScales, packScale, roomBelow, rowAt, scaleAt, scalesBytes, ScaleType, SHARED, typeOf } from "./scales";
import { madd } from "./simd";
import { RESULT_BYTES, ROWS, storeTransposed } from "./tile";

const GROUP_BYTES: usize = 512;

/** Blocks of what kernels are told: `block` is a multiple of 32, or 0 or at least k where a row is one block. */
export function float8Blocks(k: i32, block: i32, type: ScaleType): Blocks {
  return blocksOf(block == 0 || block >= k ? (k + GROUP - 1) & -GROUP : block, type);
}

// @ts-ignore: decorator
@inline export function tileBytes(k: i32, blocks: Blocks): usize {
  const block = columnsOf(blocks);
  return <usize>((k + block - 1) / block) * scalesBytes(typeOf(blocks)) + <usize>((k + GROUP - 1) / GROUP) * GROUP_BYTES;
}

/** Where the scales of block b lie in a tile. */
// @ts-ignore: decorator
@inline function scalesAt(b: i32, blocks: Blocks): usize {
  return <usize>b * (scalesBytes(typeOf(blocks)) + <usize>(columnsOf(blocks) / GROUP) * GROUP_BYTES);
}

/** Where group g lies in a tile. */
// @ts-ignore: decorator
@inline function groupAt(g: i32, blocks: Blocks): usize {
  return <usize>(g * GROUP / columnsOf(blocks) + 1) * scalesBytes(typeOf(blocks)) + <usize>g * GROUP_BYTES;
}

/** Offset in a group of the byte of row r, column c. */
// @ts-ignore: decorator
@inline function byteAt(r: i32, c: i32): usize {
  return <usize>(((r & 8) << 5) | ((c & 28) << 3) | ((r & 7) << 2) | (c & 3));
}

/** f[0 .. 16) += the sums of one row of f32 over the first `groups` groups. */
// @ts-ignore: decorator
@inline export function multiplyTile(format: Float8, f: usize, tile: usize, x: usize, groups: i32, blocks: Blocks): void {
  // Twice the power that floats lack is spread over inputs and scales, so that no product on the way is out of f32's range.
  const power = halfPower(format);
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let p = tile;
  while (groups > 0) {
    openScales(typeOf(blocks), f + RESULT_BYTES, p);
    for (let $v = 0; $v < 4; $v++) let s$v = f32x4.mul(v128.load(f, 64 + 16 * $v), power);
    p += scalesBytes(typeOf(blocks));
    for (const end = max(groups - columnsOf(blocks) / GROUP, 0); groups > end; groups--) {
      for (let $v = 0; $v < 4; $v++) let a$v = f32x4.splat(0);
      for (let s = 0; s < 8; s++) {
        for (let $i = 0; $i < 4; $i++) let x$i = f32x4.mul(v128.load32_splat(x, 4 * $i), power);
        for (let $v = 0; $v < 4; $v++) {
          const bytes = v128.load(p, 256 * ($v / 2) + 16 * ($v % 2));
          for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, float8(format, bytes, $i), a$v);
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

/** Writes scales and floats of groups [group, group + count) as f32. */
export function unpackTile(format: Float8, scales: usize, values: usize, tile: usize, group: i32, count: i32, blocks: Blocks): void {
  for (let g = group; g < group + count; g++) {
    openScales(typeOf(blocks), scales, tile + scalesAt(g * GROUP / columnsOf(blocks), blocks));
    scales += SCALES_BYTES;
    unpackFloats(format, values, tile + groupAt(g, blocks));
    values += codesBytes(FLOATS);
  }
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
@inline function valueOf(format: Float8, byte: i32): f32 {
  return f32x4.extract_lane(f32x4.mul(f32x4.mul(float8(format, i32x4.splat(byte), 0), halfPower(format)), halfPower(format)), 0);
}

/** y[t, :] = scale · w[tokens[t], :] */
// @ts-ignore: decorator
@inline export function embedTile(format: Float8, y: usize, tokens: usize, w: usize, d: i32, blocks: Blocks, scale: f32, lo: i32, hi: i32): void {
  const type = typeOf(blocks);
  for (let t = lo; t < hi; t++) {
    const token = load<i32>(tokens + (<usize>t << 2));
    const r = token % ROWS;
    const tile = w + <usize>(token / ROWS) * tileBytes(d, blocks);
    let to = y + (<usize>t * <usize>d << 2);
    for (let c = 0; c < d; c++, to += 4) {
      const s = scaleAt(type, tile + scalesAt(c / columnsOf(blocks), blocks) + rowAt(type, r));
      const byte = <i32>load<u8>(tile + groupAt(c / GROUP, blocks) + byteAt(r, c));
      store<f32>(to, scale * (s * valueOf(format, byte)));
    }
  }
}

/** The scale of floats that have none. */
const ONE: usize = memory.data<f32>([1], 16);

/**
 * Packs rows [lo, hi) of a matrix [n, k] of floats with scales [n, ⌈k / block⌉], or none where `scales` is 0. codes and scales
 * hold those rows.
 */
export function packTile(format: Float8, dst: usize, codes: usize, scales: usize, k: i32, blocks: Blocks, lo: i32, hi: i32): void {
  const block = columnsOf(blocks);
  const count = (k + block - 1) / block;
  const step: usize = scales == 0 ? 0 : bytesOf(typeOf(blocks));
  for (let j = lo; j < hi; j += ROWS) {
    const tile = dst + <usize>(j / ROWS) * tileBytes(k, blocks);
    const rows = min(ROWS, hi - j);
    if (rows < ROWS || k % GROUP != 0) memory.fill(tile, 0, tileBytes(k, blocks));
    packBytes(tile, codes, rows, k, blocks);
    for (let b = 0; b < count; b++) {
      const at = tile + scalesAt(b, blocks);
      for (let r = 0; r < rows; r++) packScale(typeOf(blocks), at, r, scales == 0 ? ONE : scales + <usize>(r * count + b) * step);
      liftBlock(format, tile, codes, rows, k, b, blocks);
    }
    codes += <usize>rows * <usize>k;
    scales += <usize>rows * <usize>count * step;
  }
}

function packBytes(tile: usize, codes: usize, rows: i32, k: i32, blocks: Blocks): void {
  let c = 0;
  if (rows == ROWS) {
    // 4 rows × 4 columns at a time: 32-bit lanes are transposed.
    for (const whole = k & -16; c < whole; c += 16) {
      const to = tile + groupAt(c / GROUP, blocks);
      for (let r = 0; r < ROWS; r += 4) {
        const from = codes + <usize>r * <usize>k + <usize>c;
        for (let $i = 0; $i < 4; $i++) let row$i = v128.load(from + $i * <usize>k);
        storeTransposed(to + byteAt(r, c), 32, row0, row1, row2, row3);
      }
    }
  }
  for (; c < k; c++) {
    const to = tile + groupAt(c / GROUP, blocks);
    for (let r = 0; r < rows; r++) store<u8>(to + byteAt(r, c), load<u8>(codes + <usize>r * <usize>k + <usize>c));
  }
}

/** Lifts the floats of block b of a tile, each row by its own power; all by the same where they share a scale. */
function liftBlock(format: Float8, tile: usize, codes: usize, rows: i32, k: i32, b: i32, blocks: Blocks): void {
  const type = typeOf(blocks);
  const scales = tile + scalesAt(b, blocks);
  const first = b * columnsOf(blocks);
  const count = min(columnsOf(blocks), k - first);
  let most = 0;
  if (type == SHARED) {
    for (let r = 0; r < rows; r++) most = max(most, largest(codes + <usize>r * <usize>k + <usize>first, count));
  }
  let power = 0;
  for (let r = 0; r < rows; r++) {
    if (type != SHARED) most = largest(codes + <usize>r * <usize>k + <usize>first, count);
    power = min(roomAbove(format, most), roomBelow(type, scales + rowAt(type, r)));
    if (type != SHARED) lowerScale(type, scales + rowAt(type, r), power);
    for (let c = first; power > 0 && c < first + count; c++) {
      const at = tile + groupAt(c / GROUP, blocks) + byteAt(r, c);
      store<u8>(at, lift(format, load<u8>(at), power));
    }
  }
  if (type == SHARED) lowerScale(type, scales, power);
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
