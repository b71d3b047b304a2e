// Tiles of 16 rows of codes of 1 to 8 bits, in blocks of any number of columns: where what lies, and how it is opened for products.
// kernels/qbnw.ts has the diagram.

import { codesOf, columnsBytes, openColumns, OPENED_BYTES, openedAt, openValues, valuesBytes } from "./bit-planes";
import { DOT32, dotsAreSigned, FLOATS, GROUP } from "./int8";
import { openScales, scalesBytes, ScaleType } from "./scales";

/** The sums of a tile's rows. */
const SUMS_BYTES: usize = 64;

/** Columns of a block << 8 | whether there are zero points << 6 | type of scales << 4 | bits of codes: what matrix.ts hands on. */
export type Shape = i32;

// @ts-ignore: decorator
@inline export function shapeOf(bits: i32, block: i32, zeros: i32, type: ScaleType): Shape {
  return (block << 8) | (zeros << 6) | (type << 4) | bits;
}

// @ts-ignore: decorator
@inline export function bitsOf(shape: Shape): i32 {
  return shape & 15;
}

// @ts-ignore: decorator
@inline export function typeOf(shape: Shape): ScaleType {
  return (shape >> 4) & 3;
}

// @ts-ignore: decorator
@inline export function hasZeros(shape: Shape): bool {
  return (shape & 64) != 0;
}

// @ts-ignore: decorator
@inline export function columnsOf(shape: Shape): i32 {
  return shape >> 8;
}

/** What codes and zero points are stored with: q + middle. */
// @ts-ignore: decorator
@inline export function middle(bits: i32): i32 {
  return 1 << (bits - 1);
}

/** Columns of a block in inputs, with the gap behind it. */
// @ts-ignore: decorator
@inline export function wideOf(block: i32): i32 {
  return (block + GROUP - 1) & -GROUP;
}

// @ts-ignore: decorator
@inline function headerBytes(shape: Shape): usize {
  return scalesBytes(typeOf(shape)) + (hasZeros(shape) ? valuesBytes(bitsOf(shape)) : 0);
}

/** The block of group g of inputs. */
// @ts-ignore: decorator
@inline function blockOf(g: i32, shape: Shape): i32 {
  return g * GROUP / wideOf(columnsOf(shape));
}

/** Where group g of a tile starts. */
// @ts-ignore: decorator
@inline export function groupAt(tile: usize, g: i32, shape: Shape): usize {
  const begun = ((g + 1) * GROUP + columnsOf(shape) - 1) / columnsOf(shape);
  return tile + SUMS_BYTES + <usize>g * columnsBytes(bitsOf(shape)) + <usize>begun * headerBytes(shape);
}

/** Where the header of block b of a tile starts. */
// @ts-ignore: decorator
@inline export function headerAt(tile: usize, b: i32, shape: Shape): usize {
  const g = b * columnsOf(shape) / GROUP;
  return tile + SUMS_BYTES + <usize>g * columnsBytes(bitsOf(shape)) + <usize>b * headerBytes(shape);
}

/** Bytes of a tile, of whose columns k are seen, gaps included. */
export function tileBytes(k: i32, shape: Shape): usize {
  const block = columnsOf(shape);
  const groups = (k / wideOf(block) * block + GROUP - 1) / GROUP;
  return (groupAt(0, groups - 1, shape) + columnsBytes(bitsOf(shape)) + 15) & ~15;
}

/** Whether codes lose their offset of 128 as they are opened, for products that take bytes as signed. */
// @ts-ignore: decorator
@inline export function isSigned8(bits: i32, how: i32): bool {
  return bits == 8 && how == DOT32 && dotsAreSigned();
}

/** Zero points of a block, rows 0-15, a byte each, with the offset that codes have. */
function zerosOfBlock(header: usize, shape: Shape): v128 {
  const bits = bitsOf(shape);
  return hasZeros(shape) ? openValues(bits, header + scalesBytes(typeOf(shape))) : i8x16.splat(<i8>middle(bits));
}

/** Zero points of rows 4v to 4v + 3 of 16, each in all bytes of a 32-bit lane. */
// @ts-ignore: decorator
@inline export function zerosOf(rows: v128, v: i32): v128 {
  return i8x16.swizzle(rows, i8x16.add(i8x16(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), i8x16.splat(<i8>(4 * v))));
}

/** Writes what a group's sums start with: −zero twice for each row, less `offset`. */
function storePairs(to: usize, zeros: v128, offset: i32): void {
  for (let v = 0; v < 4; v++) v128.store(to + (<usize>v << 4), i16x8.sub(i16x8.splat(<i16>offset), i16x8.shr_u(zerosOf(zeros, v), 8)));
}

/** Opens the scales of group g of inputs, and what its sums start with; returns its zero points. */
export function openHeader(scales: usize, pairs: usize, tile: usize, g: i32, shape: Shape, how: i32): v128 {
  const header = headerAt(tile, blockOf(g, shape), shape);
  const zeros = zerosOfBlock(header, shape);
  openScales(typeOf(shape), scales, header);
  if (how != FLOATS) storePairs(pairs, zeros, isSigned8(bitsOf(shape), how) ? 128 : 0);
  return zeros;
}

/** Writes the codes of group g of inputs, a byte each; in gaps they equal the zero points. */
export function openCodes(opened: usize, tile: usize, g: i32, shape: Shape, how: i32): void {
  const bits = bitsOf(shape);
  if (columnsOf(shape) % GROUP == 0) openColumns(bits, opened, groupAt(tile, g, shape));
  else openAcross(opened, tile, g, shape);
  if (!isSigned8(bits, how)) return;
  const flip = i8x16.splat(-128);
  for (let i: usize = 0; i < OPENED_BYTES; i += 16) v128.store(opened + i, v128.xor(v128.load(opened + i), flip));
}

/** The same of a group that begins anywhere in the columns of a tile, and may end in a gap. */
function openAcross(opened: usize, tile: usize, g: i32, shape: Shape): void {
  const block = columnsOf(shape);
  const first = g * GROUP % wideOf(block);
  const b = blockOf(g, shape);
  const zeros = zerosOfBlock(headerAt(tile, b, shape), shape);
  const column = b * block + first;
  const group = groupAt(tile, column / GROUP, shape);
  const next = groupAt(tile, column / GROUP + 1, shape);
  const place = (column % GROUP) >> 2;
  const offset = column & 3;
  for (let s = 0; s < 8; s++) {
    const count = block - first - 4 * s;
    const here = i32x4.splat(count >= 4 ? -1 : count <= 0 ? 0 : (1 << (count << 3)) - 1);
    for (let v = 0; v < 4; v++) {
      const zero = zerosOf(zeros, v);
      let codes = zero;
      if (count > 0) codes = i32x4.shr_u(fourColumns(group, next, v, place + s, shape), offset << 3);
      // The rest of four columns is asked for only where there is one: behind the last group there may be no memory.
      if (offset > 0 && count > 4 - offset) codes = v128.or(codes, i32x4.shl(fourColumns(group, next, v, place + s + 1, shape), 32 - (offset << 3)));
      v128.store(opened + openedAt(v, s), v128.bitselect(codes, zero, here));
    }
  }
}

/** Columns 4s to 4s + 3 of rows 4v to 4v + 3 of a group and the next one. */
function fourColumns(group: usize, next: usize, v: i32, s: i32, shape: Shape): v128 {
  return codesOf(bitsOf(shape), s < 8 ? group : next, v, s & 7);
}
