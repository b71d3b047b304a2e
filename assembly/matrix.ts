// The order of work of the matrix kernels with quantized weights, the same for all layouts.
//
// One input row: each tile is read once, as it is packed. More rows: stretches of a tile are unpacked into scratch memory,
// where they stay in the first cache while all rows go over them; sums wait in scratch memory too. Integers take the tiles
// of a band in turn, stretch by stretch: the same columns of all inputs stay in the second cache for all of them, however
// long rows are, and are rewritten only once where they have to be.
//
//   scratch:  sums, 16 per input row and tile | scales and minima of a stretch | codes of it | inputs, where they have to be rewritten

import { F32Or0 } from "./types";
import { multiplyFloats } from "./float32";
import { FLOATS, GROUP, MINIMA_BYTES, PLAIN, QB8_BYTES, QD8_BYTES, QD8_HEADER_BYTES, qd8RowBytes, SCALES_BYTES, WIDE_BYTES, widen, WRAP16 } from "./int8";
import { BLOCKS, INTEGERS, MINIMA, multiply, SCALED, SPARE_ROWS, ZEROS } from "./int8-tiles";
import { clear, finish, RESULT_BYTES, ROWS } from "./tile";

/**
 * f[0 .. 16) += the sums of one input row over the first `groups` groups of a tile; the 2 KiB behind f may be overwritten.
 */
export type MultiplyOne = (f: usize, tile: usize, x: usize, groups: i32, block: i32, how: i32) => void;

/** Writes scales and codes of groups [group, group + count) of a tile as they are multiplied. */
export type Unpack = (scales: usize, codes: usize, tile: usize, group: i32, count: i32, block: i32, how: i32) => void;

/** Input rows that go over a stretch of a tile. */
const MAX_ROWS: i32 = 256;
/** Tiles of a band. */
const BAND: i32 = 8;
/** Groups of 32 columns in a stretch: 16 or 32 KiB of codes. */
const MAX_GROUPS: i32 = 32;
/** The same of codes as f32: 16 KiB. */
const MAX_FLOAT_GROUPS: i32 = 8;

const SUMS_BYTES: usize = <usize>(MAX_ROWS + SPARE_ROWS) * RESULT_BYTES;
const SCALES: usize = <usize>BAND * SUMS_BYTES;
const CODES: usize = SCALES + <usize>MAX_GROUPS * (SCALES_BYTES + MINIMA_BYTES);
const INPUTS: usize = CODES + 32768;
/** Rows of rewritten stretches that what is left of 512 KiB of scratch memory has room for. */
const WIDE_ROWS: usize = (524288 - INPUTS) / (<usize>MAX_GROUPS * WIDE_BYTES);

/** x is f32: y = residual + (bias + Σ_g scale · Σ x · weight without scale). k may end within a group, whose other codes are then zeros. */
export function gemmFloats(y: usize, x: usize, w: usize, tileBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, scratch: usize, lo: i32, hi: i32, one: MultiplyOne, unpack: Unpack): void {
  const whole = k / GROUP;
  const rowBytes = <usize>k << 2;
  const restBytes = <usize>(k % GROUP) << 2;
  for (let t = 0; t < rows; t += MAX_ROWS) {
    const count = min(MAX_ROWS, rows - t);
    const from = x + <usize>t * rowBytes;
    if (restBytes > 0) {
      memory.fill(scratch + INPUTS, 0, <usize>count << 7);
      for (let i = 0; i < count; i++) memory.copy(scratch + INPUTS + (<usize>i << 7), from + <usize>(i + 1) * rowBytes - restBytes, restBytes);
    }
    for (let j = lo; j < hi; j += ROWS) {
      const tile = w + <usize>(j / ROWS) * tileBytes;
      memory.fill(scratch, 0, <usize>count * RESULT_BYTES);
      if (rows == 1) one(scratch, tile, x, whole, block, FLOATS);
      for (let g = 0; g < whole && rows > 1; g += MAX_FLOAT_GROUPS) {
        const some = min(MAX_FLOAT_GROUPS, whole - g);
        unpack(scratch + SCALES, scratch + CODES, tile, g, some, block, FLOATS);
        multiplyFloats(scratch, scratch + CODES, scratch + SCALES, from + (<usize>g << 7), rowBytes, count, some);
      }
      if (restBytes > 0) {
        unpack(scratch + SCALES, scratch + CODES, tile, whole, 1, block, FLOATS);
        multiplyFloats(scratch, scratch + CODES, scratch + SCALES, scratch + INPUTS, 128, count, 1);
      }
      finish(y, scratch, bias, residual, t, count, j, n);
    }
  }
}

/** x is qb8: y = residual + (bias + Σ_g scale · d · Σ x · (code − zero)). */
export function gemmScaled(y: usize, x: usize, w: usize, tileBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, zero: i32, how: i32, scratch: usize, lo: i32, hi: i32, one: MultiplyOne, unpack: Unpack): void {
  gemm(SCALED, true, y, x, w, tileBytes, bias, residual, rows, n, k, block, zero, how, scratch, lo, hi, one, unpack);
}

/** x is qb8: y = residual + (bias + Σ_g scale · d · Σ x · (code − zero) + minimum · d · Σ x). */
export function gemmMinima(y: usize, x: usize, w: usize, tileBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, zero: i32, how: i32, scratch: usize, lo: i32, hi: i32, one: MultiplyOne, unpack: Unpack): void {
  gemm(MINIMA, true, y, x, w, tileBytes, bias, residual, rows, n, k, block, zero, how, scratch, lo, hi, one, unpack);
}

/**
 * x is qd8 with scale s and zero point z, tiles start with f32 sums R[j] = Σ_c w[j, c]:
 * y = residual + (bias + s · (Σ_g scale · Σ x · (code − zero) − z · R)).
 */
export function gemmBlocks(y: usize, x: usize, w: usize, tileBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, zero: i32, how: i32, scratch: usize, lo: i32, hi: i32, one: MultiplyOne, unpack: Unpack): void {
  gemm(BLOCKS, false, y, x, w, tileBytes, bias, residual, rows, n, k, block, zero, how, scratch, lo, hi, one, unpack);
}

/**
 * x is qd8 with scale s and zero point z, tiles start with f32 scales, i32 sums R[j] = Σ_c q[j, c] − zeros[j] and int8 zeros:
 * y = residual + (bias + s · scale · (Σ x · (code − zero) − zeros · Σ x − z · R)), exact but for the products by s and scale.
 */
export function gemmIntegers(y: usize, x: usize, w: usize, tileBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, zero: i32, how: i32, scratch: usize, lo: i32, hi: i32, one: MultiplyOne, unpack: Unpack): void {
  gemm(INTEGERS, false, y, x, w, tileBytes, bias, residual, rows, n, k, 0, zero, how, scratch, lo, hi, one, unpack);
}

/** gemmScaled where `perGroup`, and otherwise gemmBlocks, where each row and group of codes has a zero of its own. */
export function gemmZeros(perGroup: bool, y: usize, x: usize, w: usize, tileBytes: usize, bias: F32Or0, residual: F32Or0, rows: i32, n: i32, k: i32, block: i32, how: i32, scratch: usize, lo: i32, hi: i32, one: MultiplyOne, unpack: Unpack): void {
  gemm(ZEROS, perGroup, y, x, w, tileBytes, bias, residual, rows, n, k, block, 0, how, scratch, lo, hi, one, unpack);
}

/** `perGroup`: whether inputs have a scale per group, and not per row. */
// @ts-ignore: decorator
@inline function gemm(form: i32, perGroup: bool, y: usize, x: usize, w: usize, tileBytes: usize, bias: usize, residual: usize, rows: i32, n: i32, k: i32, block: i32, zero: i32, how: i32, scratch: usize, lo: i32, hi: i32, one: MultiplyOne, unpack: Unpack): void {
  const groups = (k + GROUP - 1) / GROUP;
  const rowBytes = perGroup ? <usize>groups * QB8_BYTES : qd8RowBytes(k);
  const headerBytes = perGroup ? <usize>0 : QD8_HEADER_BYTES;
  const inputBytes = perGroup ? QB8_BYTES : QD8_BYTES;
  if (rows == 1) {
    for (let j = lo; j < hi; j += ROWS) {
      const tile = w + <usize>(j / ROWS) * tileBytes;
      clear(scratch);
      one(scratch, tile, x + headerBytes, groups, block, how);
      close(form, perGroup, y, scratch, x, rowBytes, tile, bias, residual, 0, 1, j, n);
    }
    return;
  }
  const isWide = how == PLAIN || how == WRAP16;
  const wideRowBytes = <usize>min(groups, MAX_GROUPS) * WIDE_BYTES;
  // Inputs of one stretch stay where they are.
  const bandRows = groups > MAX_GROUPS ? BAND * ROWS : ROWS;
  const atOnce = isWide ? min(MAX_ROWS, <i32>WIDE_ROWS) : MAX_ROWS;
  for (let t = 0; t < rows; t += atOnce) {
    const count = min(atOnce, rows - t);
    const from = x + <usize>t * rowBytes;
    for (let band = lo; band < hi; band += bandRows) {
      const end = min(band + bandRows, hi);
      for (let j = band, f = scratch; j < end; j += ROWS, f += SUMS_BYTES) memory.fill(f, 0, <usize>count * RESULT_BYTES);
      for (let g = 0; g < groups; g += MAX_GROUPS) {
        const some = min(MAX_GROUPS, groups - g);
        let inputs = from + headerBytes + <usize>g * inputBytes;
        if (isWide) {
          if (band == lo || some < groups) widen(how, scratch + INPUTS, inputs, wideRowBytes, rowBytes, inputBytes, count, some);
          inputs = scratch + INPUTS;
        }
        for (let j = band, f = scratch; j < end; j += ROWS, f += SUMS_BYTES) {
          unpack(scratch + SCALES, scratch + CODES, w + <usize>(j / ROWS) * tileBytes, g, some, block, how);
          multiply(form, how, f, scratch + CODES, scratch + SCALES, zero, inputs, isWide ? wideRowBytes : rowBytes, inputBytes, count, some);
        }
      }
      for (let j = band, f = scratch; j < end; j += ROWS, f += SUMS_BYTES) {
        close(form, perGroup, y, f, from, rowBytes, w + <usize>(j / ROWS) * tileBytes, bias, residual, t, count, j, n);
      }
    }
  }
}

/** Results of `count` input rows from row t on, of which x is the first, and a tile's 16 rows from row j on, from their sums at f. */
// @ts-ignore: decorator
@inline function close(form: i32, perGroup: bool, y: usize, f: usize, x: usize, rowBytes: usize, tile: usize, bias: usize, residual: usize, t: i32, count: i32, j: i32, n: i32): void {
  for (let i = 0; i < count; i++, x += rowBytes) {
    if (form == BLOCKS || (form == ZEROS && !perGroup)) scaleByRow(f + <usize>i * RESULT_BYTES, x, tile);
    if (form == INTEGERS) scaleIntegers(f + <usize>i * RESULT_BYTES, x, tile);
  }
  finish(y, f, bias, residual, t, count, j, n);
}

/** f = s · (f − z · R) */
function scaleByRow(f: usize, row: usize, sums: usize): void {
  const s = v128.load32_splat(row);
  const z = f32x4.convert_i32x4_s(v128.load32_splat(row, 4));
  for (let $v = 0; $v < 4; $v++) {
    v128.store(f, f32x4.mul(s, f32x4.sub(v128.load(f, 16 * $v), f32x4.mul(z, v128.load(sums, 16 * $v)))), 16 * $v);
  }
}

/** f = s · scale · (f − zeros · Σ x − z · R), f and R as i32 */
function scaleIntegers(f: usize, row: usize, header: usize): void {
  const s = v128.load32_splat(row);
  const z = v128.load32_splat(row, 4);
  const sum = v128.load32_splat(row, 8);
  for (let $v = 0; $v < 4; $v++) {
    const zeros$v = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(header, 128 + 4 * $v)));
    const byRows$v = i32x4.add(i32x4.mul(zeros$v, sum), i32x4.mul(z, v128.load(header, 64 + 16 * $v)));
    const total$v = i32x4.sub(v128.load(f, 16 * $v), byRows$v);
    v128.store(f, f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(total$v), s), v128.load(header, 16 * $v)), 16 * $v);
  }
}
