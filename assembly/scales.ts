// Scales as files store them: f16, bf16 or f32. Packed weights keep their type, 16 rows' scales of a block of columns at a time:
//
//   f16, bf16:  rows 0 4 1 5 2 6 3 7 8 12 9 13 10 14 11 15      32 bytes
//   f32:        rows 0-15                                       64 bytes
//   shared:     one f32 for all rows, and zeros                 16 bytes
//
// Which type is asked once per block, not compiled in: one kernel serves all of them.

import { SCALES_BYTES, unpackScales } from "./int8";
import { half, halfAt, lower, upper } from "./tile";

/** The type of a file's scales. src/engine/layouts.ts has the same numbers. */
export type ScaleType = i32;
export const HALF: ScaleType = 0;
export const BRAIN: ScaleType = 1;
export const FLOAT: ScaleType = 2;
/** f32 that is the same for the 16 rows of each tile. */
export const SHARED: ScaleType = 3;

/** Columns of a block and the type of its scales in one number, as matrix.ts hands it from a kernel to its functions. */
export type Blocks = i32;

// @ts-ignore: decorator
@inline export function blocksOf(columns: i32, type: ScaleType): Blocks {
  return (columns << 2) | type;
}

// @ts-ignore: decorator
@inline export function columnsOf(blocks: Blocks): i32 {
  return blocks >> 2;
}

// @ts-ignore: decorator
@inline export function typeOf(blocks: Blocks): ScaleType {
  return blocks & 3;
}

// @ts-ignore: decorator
@inline export function bytesOf(type: ScaleType): usize {
  return type >= FLOAT ? 4 : 2;
}

/** Bytes of 16 rows' scales. */
// @ts-ignore: decorator
@inline export function scalesBytes(type: ScaleType): usize {
  return type == SHARED ? 16 : bytesOf(type) << 4;
}

/** A scale in a file as f32. */
// @ts-ignore: decorator
@inline export function scaleAt(type: ScaleType, at: usize): f32 {
  return type >= FLOAT ? load<f32>(at) : type == HALF ? half<u16>(at) : half<i16>(at);
}

/** Where row r's scale lies among those of 16 rows. */
// @ts-ignore: decorator
@inline export function rowAt(type: ScaleType, r: i32): usize {
  return type == SHARED ? 0 : type == FLOAT ? <usize>r << 2 : halfAt(r);
}

/** Copies a scale of a file to row r of 16. */
// @ts-ignore: decorator
@inline export function packScale(type: ScaleType, scales: usize, r: i32, from: usize): void {
  if (type == SHARED) v128.store(scales, v128.load32_zero(from));
  else if (type == FLOAT) store<f32>(scales + rowAt(type, r), load<f32>(from));
  else store<u16>(scales + rowAt(type, r), load<u16>(from));
}

/** Scales of rows 4v to 4v + 3 as f32. */
export function scalesOfRows(type: ScaleType, scales: usize, v: i32): v128 {
  if (type == SHARED) return v128.load32_splat(scales);
  if (type == FLOAT) return v128.load(scales + (<usize>v << 4));
  const pair = v128.load(scales + (<usize>(v >> 1) << 4));
  if (type == HALF) return v & 1 ? upper<u16>(pair) : lower<u16>(pair);
  return v & 1 ? upper<i16>(pair) : lower<i16>(pair);
}

/** Writes 16 rows' scales as f32. */
export function openScales(type: ScaleType, to: usize, scales: usize): void {
  if (type == SHARED) {
    const shared = v128.load32_splat(scales);
    for (let $v = 0; $v < 4; $v++) v128.store(to, shared, 16 * $v);
  } else if (type == FLOAT) memory.copy(to, scales, SCALES_BYTES);
  else if (type == HALF) unpackScales<u16>(to, scales);
  else unpackScales<i16>(to, scales);
}

/** Bits of a scale's fraction. */
// @ts-ignore: decorator
@inline function fractionBits(type: ScaleType): i32 {
  return type >= FLOAT ? 23 : type == HALF ? 10 : 7;
}

// @ts-ignore: decorator
@inline function bitsAt(type: ScaleType, at: usize): i32 {
  return type >= FLOAT ? load<i32>(at) : <i32>load<u16>(at);
}

/** By which power of two a scale may be divided exactly: down to the least exponent of its type. */
export function roomBelow(type: ScaleType, at: usize): i32 {
  const exponent = (bitsAt(type, at) >> fractionBits(type)) & (type == HALF ? 31 : 255);
  return max(exponent - 1, 0);
}

/** Divides a scale by 2^power. */
export function lowerScale(type: ScaleType, at: usize, power: i32): void {
  const bits = bitsAt(type, at) - (power << fractionBits(type));
  if (type >= FLOAT) store<i32>(at, bits);
  else store<u16>(at, <u16>bits);
}
