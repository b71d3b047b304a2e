// Key/value pages. A page holds 64 consecutive positions of one sequence for one layer, head after head:
//
//   page     [head 0][head 1] … [head kv_heads − 1]
//   head     [K: 4 panels of 16 positions][V: ⌈d/16⌉ panels of 16 channels][i8 only: f32 scales, K 64, V 64]
//   K panel  d rows of 16: row j holds channel j of positions 16p … 16p + 15
//   V panel  64 rows of 16: row s holds channels 16p … 16p + 15 of position s; channels past d are 0
//
// Both products of attention, scores = q · Kᵀ over channels and y = p · V over positions, then walk down a panel with
// their results in registers and need no horizontal sum, and one query reads a head from its first byte to its last.
// Elements are f32, f16 or i8 (value = element · scale of its position), in the same order.

/** Positions of a page. */
export const PAGE: i32 = 64;
/** Columns of a panel. */
export const PANEL: i32 = 16;

/** Channels rounded up to whole panels. */
// @ts-ignore: decorator
@inline export function padded(d: i32): i32 {
  return (d + 15) & ~15;
}

/** Elements of one head in a page. */
// @ts-ignore: decorator
@inline export function headElements(d: i32): i32 {
  return PAGE * (d + padded(d));
}

/** Bytes of one head in a page of elements W. */
// @ts-ignore: decorator
@inline export function headBytes<W>(d: i32): usize {
  const elements = <usize>headElements(d) * sizeof<W>();
  return sizeof<W>() == 1 ? elements + 8 * PAGE : elements;
}

/** Address of the page that holds `position` of `sequence`. */
// @ts-ignore: decorator
@inline export function pageOf(kv: usize, table: usize, sequence: i32, position: i32, pages: i32, page_bytes: i32): usize {
  return kv + <usize>load<i32>(table + (<usize>(sequence * pages + (position >> 6)) << 2)) * <usize>page_bytes;
}

/** Stores one position's key and value, d f32 each, as position `slot` of a head. */
export function writeHead<W>(head: usize, slot: usize, k: usize, v: usize, d: i32): void {
  const row = <usize>PANEL * sizeof<W>();
  const keys = head + (slot >> 4) * row * <usize>d + (slot & 15) * sizeof<W>();
  const values = head + <usize>(PAGE * d) * sizeof<W>() + slot * row;
  let kFactor: f32 = 1;
  let vFactor: f32 = 1;
  if (sizeof<W>() == 1) {
    const scales = head + <usize>headElements(d) + (slot << 2);
    kFactor = largest(k, d);
    vFactor = largest(v, d);
    store<f32>(scales, kFactor / 127);
    store<f32>(scales, vFactor / 127, 256);
    kFactor = kFactor == 0 ? 0 : 127 / kFactor;
    vFactor = vFactor == 0 ? 0 : 127 / vFactor;
  }
  const kFactors = f32x4.splat(kFactor);
  const vFactors = f32x4.splat(vFactor);
  let j: i32 = 0;
  for (; j + 4 <= d; j += 4) {
    const at = <usize>j << 2;
    const x = stored<W>(v128.load(k + at), kFactors);
    const to = keys + <usize>j * row;
    if (sizeof<W>() == 4) {
      v128.store_lane<f32>(to, x, 0);
      v128.store_lane<f32>(to, x, 1, 64);
      v128.store_lane<f32>(to, x, 2, 128);
      v128.store_lane<f32>(to, x, 3, 192);
      v128.store(values + channel<W>(j), v128.load(v + at));
    } else if (sizeof<W>() == 2) {
      v128.store_lane<u16>(to, x, 0);
      v128.store_lane<u16>(to, x, 2, 32);
      v128.store_lane<u16>(to, x, 4, 64);
      v128.store_lane<u16>(to, x, 6, 96);
      const y = stored<W>(v128.load(v + at), vFactors);
      v128.store_lane<u64>(values + channel<W>(j), i16x8.narrow_i32x4_u(y, y), 0);
    } else {
      v128.store_lane<u8>(to, x, 0);
      v128.store_lane<u8>(to, x, 4, 16);
      v128.store_lane<u8>(to, x, 8, 32);
      v128.store_lane<u8>(to, x, 12, 48);
      const y = stored<W>(v128.load(v + at), vFactors);
      const words = i16x8.narrow_i32x4_s(y, y);
      v128.store_lane<u32>(values + channel<W>(j), i8x16.narrow_i16x8_s(words, words), 0);
    }
  }
  for (; j < d; j++) {
    const at = <usize>j << 2;
    put<W>(keys + <usize>j * row, stored<W>(v128.load32_splat(k + at), kFactors));
    put<W>(values + channel<W>(j), stored<W>(v128.load32_splat(v + at), vFactors));
  }
  for (; j < padded(d); j++) put<W>(values + channel<W>(j), f32x4.splat(0));
}

/** Offset of channel j in the values of a position. */
// @ts-ignore: decorator
@inline function channel<W>(j: i32): usize {
  return <usize>((j & ~15) * PAGE + (j & 15)) * sizeof<W>();
}

/** Four elements W, each in the low bits of a lane. */
// @ts-ignore: decorator
@inline function stored<W>(x: v128, factor: v128): v128 {
  if (sizeof<W>() == 4) return x;
  if (sizeof<W>() == 2) return halves(x);
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(x, factor)));
}

// @ts-ignore: decorator
@inline function put<W>(at: usize, x: v128): void {
  if (sizeof<W>() == 4) v128.store_lane<f32>(at, x, 0);
  else if (sizeof<W>() == 2) v128.store_lane<u16>(at, x, 0);
  else v128.store_lane<u8>(at, x, 0);
}

/** The largest magnitude, or NaN where there is one. */
function largest(x: usize, d: i32): f32 {
  let m = f32x4.splat(0);
  let j: i32 = 0;
  for (; j + 4 <= d; j += 4, x += 16) m = f32x4.max(m, f32x4.abs(v128.load(x)));
  for (; j < d; j++, x += 4) m = f32x4.max(m, f32x4.abs(v128.load32_splat(x)));
  return max(max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1)), max(f32x4.extract_lane(m, 2), f32x4.extract_lane(m, 3)));
}

// Constant vectors live in memory: V8 rebuilds a v128.const in three instructions at every use, a load is one.
const HALF: usize = memory.data<u32>(
  [
    0x80000000, 0x80000000, 0x80000000, 0x80000000, // the sign of an f32
    1, 1, 1, 1,
    0xc8000fff, 0xc8000fff, 0xc8000fff, 0xc8000fff, // −112 in the exponent, and just less than half of what goes
    0x3f000000, 0x3f000000, 0x3f000000, 0x3f000000, // 0.5
    0x38800000, 0x38800000, 0x38800000, 0x38800000, // 2^-14, the smallest normal f16
    0x477fefff, 0x477fefff, 0x477fefff, 0x477fefff, // the last f32 that rounds to 65504
    0x00007bff, 0x00007bff, 0x00007bff, 0x00007bff, // 65504
    0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000, // Inf
    0x00007e00, 0x00007e00, 0x00007e00, 0x00007e00, // NaN
  ],
  16,
);

/** Bits of the nearest f16, ties to even; beyond ±65504 it saturates. */
// @ts-ignore: decorator
@inline function halves(x: v128): v128 {
  const sign = v128.and(x, v128.load(HALF));
  const a = v128.xor(x, sign);
  const odd = v128.and(i32x4.shr_u(a, 13), v128.load(HALF, 16));
  let h = i32x4.shr_u(i32x4.add(i32x4.add(a, v128.load(HALF, 32)), odd), 13);
  // Below 2^-14 an f16 is a multiple of 2^-24, and so are the f32 from 0.5 to 1: the addition rounds.
  const small = i32x4.sub(f32x4.add(a, v128.load(HALF, 48)), v128.load(HALF, 48));
  h = v128.bitselect(small, h, i32x4.lt_s(a, v128.load(HALF, 64)));
  h = v128.bitselect(v128.load(HALF, 96), h, i32x4.gt_s(a, v128.load(HALF, 80)));
  h = v128.bitselect(v128.load(HALF, 128), h, i32x4.gt_s(a, v128.load(HALF, 112)));
  return v128.or(h, i32x4.shr_u(sign, 16));
}
