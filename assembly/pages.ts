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
  let kScale: f32 = 1;
  let vScale: f32 = 1;
  if (sizeof<W>() == 1) {
    const scales = head + <usize>headElements(d) + (slot << 2);
    kScale = largest(k, d);
    vScale = largest(v, d);
    store<f32>(scales, kScale / 127);
    store<f32>(scales, vScale / 127, 256);
    kScale = kScale == 0 ? 0 : 127 / kScale;
    vScale = vScale == 0 ? 0 : 127 / vScale;
  }
  for (let j: usize = 0; j < <usize>d; j++) {
    put<W>(keys + j * row, load<f32>(k + (j << 2)), kScale);
    put<W>(values + (j >> 4) * (row << 6) + (j & 15) * sizeof<W>(), load<f32>(v + (j << 2)), vScale);
  }
  for (let j = <usize>d; j < <usize>padded(d); j++) put<W>(values + (j >> 4) * (row << 6) + (j & 15) * sizeof<W>(), 0, 0);
}

// @ts-ignore: decorator
@inline function put<W>(at: usize, x: f32, scale: f32): void {
  if (sizeof<W>() == 4) store<f32>(at, x);
  else if (sizeof<W>() == 2) store<u16>(at, half(x));
  else store<i8>(at, <i8>nearest<f32>(x * scale));
}

/** The largest magnitude, or NaN where there is one. */
function largest(x: usize, d: i32): f32 {
  let m: f32 = 0;
  for (let j = 0; j < d; j++) m = max<f32>(m, abs<f32>(load<f32>(x + (<usize>j << 2))));
  return m;
}

/** Bits of the nearest f16, ties to even; beyond ±65504 it saturates. */
function half(x: f32): u16 {
  const bits = reinterpret<u32>(x);
  const sign = (bits >> 16) & 0x8000;
  let a = bits & 0x7fffffff;
  if (a > 0x7f800000) return <u16>(sign | 0x7e00);
  if (a >= 0x477ff000) return <u16>(sign | 0x7bff);
  // Below 2^-14 an f16 is a multiple of 2^-24, and so are the f32 from 0.5 to 1: the addition rounds.
  if (a < 0x38800000) return <u16>(sign | (reinterpret<u32>(reinterpret<f32>(a) + 0.5) - 0x3f000000));
  a += 0xc8000fff + ((a >> 13) & 1);
  return <u16>(sign | (a >> 13));
}
