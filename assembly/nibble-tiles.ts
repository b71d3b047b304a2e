// Tiles of weights of 4 bits in blocks with a scale each, and no zero point (kernels/qb4w.ts has the diagram): where their
// parts lie, their products with one row of inputs, and how they are unpacked for many. Scale types are type parameters: f32,
// u16 for f16, i16 for bf16; functions are bound to one of them where kernels pass them on.

import {
  codesBytes, dot, DOT16, dot16, DOT32, dot32, even, FLOATS, GROUP, lowestNibbles, lowNibbles, odd, ones, PLAIN, QB8_BYTES, QD8_BYTES,
  SCALES_BYTES, storeFloats, storeWide, WRAP16,
} from "./int8";
import { BLOCKS, blockSum, SCALED, scaledSum } from "./int8-tiles";
import { GROUP_BYTES } from "./nibbles";
import { madd } from "./simd";
import { lower, upper } from "./tile";

/** The code of 0. */
export const ZERO: i32 = 8;
/** Bytes of a tile's sums R, in front of its first block. */
export const HEADER_BYTES: usize = 64;

/** Bytes of a block's scales. */
// @ts-ignore: decorator
@inline export function scalesBytes<S>(): usize {
  return sizeof<S>() << 4;
}

/** Bytes of a block of `block` columns: its scales and codes. */
// @ts-ignore: decorator
@inline export function blockBytes<S>(block: i32): usize {
  return scalesBytes<S>() + (<usize>block << 3);
}

/** Bytes of a tile of k columns. */
// @ts-ignore: decorator
@inline export function tileBytes<S>(k: i32, block: i32): usize {
  return HEADER_BYTES + <usize>(k / block) * blockBytes<S>(block);
}

/** Where group g of a tile starts. */
// @ts-ignore: decorator
@inline export function groupAt<S>(tile: usize, g: i32, block: i32): usize {
  return tile + HEADER_BYTES + <usize>(g * GROUP / block + 1) * scalesBytes<S>() + <usize>g * GROUP_BYTES;
}

/** Scales of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline export function vectorOfScales<S>(scales: usize, v: i32): v128 {
  if (isFloat<S>()) return v128.load(scales + (<usize>v << 4));
  const pair = v128.load(scales + (<usize>(v >> 1) << 4));
  return v & 1 ? upper<S>(pair) : lower<S>(pair);
}

// MultiplyOne of matrix.ts, for inputs of qb8 (SCALED), of qd8 (BLOCKS) and of f32.

export function multiplyScaledHalf(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<u16>(SCALED, f, tile, x, groups, block, how);
}
export function multiplyScaledBrain(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<i16>(SCALED, f, tile, x, groups, block, how);
}
export function multiplyBlocksHalf(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<u16>(BLOCKS, f, tile, x, groups, block, how);
}
export function multiplyBlocksBrain(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<i16>(BLOCKS, f, tile, x, groups, block, how);
}
export function multiplyBlocksFloat(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyOne<f32>(BLOCKS, f, tile, x, groups, block, how);
}

export function multiplyFloatsHalf(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyFloats<u16>(f, tile, x, groups, block);
}
export function multiplyFloatsBrain(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyFloats<i16>(f, tile, x, groups, block);
}
export function multiplyFloatsFloat(f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  multiplyFloats<f32>(f, tile, x, groups, block);
}

// @ts-ignore: decorator
@inline function multiplyFloats<S>(f: usize, tile: usize, x: usize, groups: i32, block: i32): void {
  const signs = i8x16.splat(<i8>0x88); // code ^ 8 is q as a 4-bit two's complement
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let p = tile + HEADER_BYTES;
  for (let b = block / GROUP; groups > 0; groups -= b) {
    for (let $v = 0; $v < 4; $v++) let s$v = vectorOfScales<S>(p, $v);
    p += scalesBytes<S>();
    for (let g = 0; g < b; g++) {
      for (let $v = 0; $v < 4; $v++) let a$v = f32x4.splat(0);
      // Columns in order: all low nibbles first.
      for (let $h = 0; $h < 2; $h++) {
        for (let $s = 0; $s < 4; $s++) {
          const x0 = v128.load32_splat(x, 64 * $h + 16 * $s);
          const x1 = v128.load32_splat(x, 64 * $h + 16 * $s + 4);
          const x2 = v128.load32_splat(x, 64 * $h + 16 * $s + 8);
          const x3 = v128.load32_splat(x, 64 * $h + 16 * $s + 12);
          for (let $v = 0; $v < 4; $v++) {
            const codes = v128.xor(v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s), signs);
            for (let $i = 0; $i < 4; $i++) a$v = madd(x$i, f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(codes, 28 - 4 * $h - 8 * $i), 28)), a$v);
          }
        }
      }
      for (let $v = 0; $v < 4; $v++) f$v = madd(a$v, s$v, f$v);
      p += GROUP_BYTES;
      x += 128;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

// @ts-ignore: decorator
@inline function multiplyOne<S>(form: i32, f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32): void {
  if (!ASC_FEATURE_RELAXED_SIMD) multiplyBy<S>(form, PLAIN, f, tile, x, groups, block);
  else if (how == DOT16) multiplyBy<S>(form, DOT16, f, tile, x, groups, block);
  else multiplyBy<S>(form, DOT32, f, tile, x, groups, block);
}

// @ts-ignore: decorator
@inline function multiplyBy<S>(form: i32, how: i32, f: usize, tile: usize, x: usize, groups: i32, block: i32): void {
  const zeros = i16x8.splat(<i16>-ZERO);
  const low = how == PLAIN ? lowestNibbles() : lowNibbles();
  const one = ones();
  for (let $v = 0; $v < 4; $v++) let f$v = v128.load(f, 16 * $v);
  let x0: v128;
  let x1: v128;
  let codes: v128;
  let p = tile + HEADER_BYTES;
  for (let b = block / GROUP; groups > 0; groups -= b) {
    const scalesAt = p;
    p += scalesBytes<S>();
    for (let g = 0; g < b; g++) {
      const start = how == DOT16 ? i16x8.mul(v128.load32_splat(x), zeros) : i32x4.dot_i16x8_s(v128.load32_splat(x), zeros);
      for (let $v = 0; $v < 4; $v++) let a$v = start;
      for (let $s = 0; $s < 4; $s++) {
        x0 = v128.load32_splat(x, 4 + 4 * $s);
        x1 = v128.load32_splat(x, 20 + 4 * $s);
        if (how == PLAIN) {
          const even0 = even(x0);
          const odd0 = odd(x0);
          const even1 = even(x1);
          const odd1 = odd(x1);
          for (let $v = 0; $v < 4; $v++) {
            codes = v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
            a$v = dot(even0, v128.and(codes, low), a$v);
            a$v = dot(even1, v128.and(i16x8.shr_u(codes, 4), low), a$v);
            a$v = dot(odd0, v128.and(i16x8.shr_u(codes, 8), low), a$v);
            a$v = dot(odd1, i16x8.shr_u(codes, 12), a$v);
          }
        } else {
          for (let $v = 0; $v < 4; $v++) {
            codes = v128.load(p, 128 * ($v / 2) + 16 * ($v % 2) + 32 * $s);
            const first = v128.and(codes, low);
            const second = v128.and(i16x8.shr_u(codes, 4), low);
            a$v = how == DOT16 ? dot16(x0, first, a$v) : dot32(x0, first, a$v);
            a$v = how == DOT16 ? dot16(x1, second, a$v) : dot32(x1, second, a$v);
          }
        }
      }
      const d = v128.load32_splat(x, 36);
      for (let $v = 0; $v < 4; $v++) {
        const total = how == DOT16 ? i32x4.dot_i16x8_s(a$v, one) : a$v;
        const scales = vectorOfScales<S>(scalesAt, $v);
        f$v = form == SCALED ? scaledSum(total, d, scales, f$v) : blockSum(total, scales, f$v);
      }
      p += GROUP_BYTES;
      x += form == SCALED ? QB8_BYTES : QD8_BYTES;
    }
  }
  for (let $v = 0; $v < 4; $v++) v128.store(f, f$v, 16 * $v);
}

// Unpack of matrix.ts.

export function unpackHalf(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack<u16>(scales, codes, tile, group, count, block, how);
}
export function unpackBrain(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack<i16>(scales, codes, tile, group, count, block, how);
}
export function unpackFloat(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  unpack<f32>(scales, codes, tile, group, count, block, how);
}

// @ts-ignore: decorator
@inline function unpack<S>(scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32): void {
  const low = lowNibbles();
  const eight = i8x16.splat(<i8>ZERO);
  for (let g = group; g < group + count; g++) {
    const from = groupAt<S>(tile, g, block);
    const blockScales = tile + HEADER_BYTES + <usize>(g * GROUP / block) * blockBytes<S>(block);
    for (let $v = 0; $v < 4; $v++) v128.store(scales, vectorOfScales<S>(blockScales, $v), 16 * $v);
    for (let h: usize = 0; h < 2; h++) {
      for (let i: usize = 0; i < 128; i += 32) {
        for (let $v = 0; $v < 2; $v++) {
          let w$v = v128.load(from + 128 * h + i, 16 * $v);
          let first$v = v128.and(w$v, low);
          let second$v = v128.and(i16x8.shr_u(w$v, 4), low);
          if (how == FLOATS) {
            storeFloats(codes, 256 * h + i + 16 * $v, i8x16.sub(first$v, eight));
            storeFloats(codes, 256 * h + i + 16 * $v + 128, i8x16.sub(second$v, eight));
          } else if (how == PLAIN) {
            storeWide(codes, 256 * h + i + 16 * $v, first$v);
            storeWide(codes, 256 * h + i + 16 * $v + 128, second$v);
          } else if (how != WRAP16) {
            v128.store(codes + 256 * h + i, first$v, 16 * $v);
            v128.store(codes + 256 * h + i, second$v, 128 + 16 * $v);
          }
        }
        if (how == WRAP16) {
          storePairs(codes + 2 * i + 16 * h, first0, first1);
          storePairs(codes + 2 * i + 16 * h + 256, second0, second1);
        }
      }
    }
    scales += SCALES_BYTES;
    codes += codesBytes(how);
  }
}

/** Stores the same four columns of rows 0-3 and 4-7 of a half as WRAP16 reads them. */
// @ts-ignore: decorator
@inline function storePairs(to: usize, first: v128, second: v128): void {
  v128.store(to, v128.shuffle<i16>(first, second, 0, 2, 4, 6, 8, 10, 12, 14));
  v128.store(to, v128.shuffle<i16>(first, second, 1, 3, 5, 7, 9, 11, 13, 15), 32);
}
