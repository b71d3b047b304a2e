import { F32, I32 } from "../types";
import { exp } from "../simd";

// Units are rows of n elements, such as the logits of one token. Sums are kept in f64: a vocabulary has 10^5 terms.

/** y[t] = the lowest index of the largest element of x[t, :], or −1 where a row holds a NaN. */
export function argmax_f32(y: I32, x: F32, n: i32, lo: i32, hi: i32): void {
  const bytes = <usize>n << 2;
  for (let t = lo; t < hi; t++) {
    const row = x + <usize>t * bytes;
    const largest = maximum(row, bytes);
    store<i32>(y + (<usize>t << 2), largest != largest ? -1 : <i32>(find(row, bytes, largest) >> 2));
  }
}

/** y[t, i] = e^x[t, i] / Σ_j e^x[t, j]; y may be x. */
export function softmax_f32(y: F32, x: F32, n: i32, lo: i32, hi: i32): void {
  const bytes = <usize>n << 2;
  for (let t = lo; t < hi; t++) {
    const row = x + <usize>t * bytes;
    const to = y + <usize>t * bytes;
    const largest = maximum(row, bytes);
    const factor = <f32>(1 / sumOfExp(row, bytes, largest));
    const shift = f32x4.splat(largest);
    const factors = f32x4.splat(factor);
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) v128.store(to + i, f32x4.mul(exp(f32x4.sub(v128.load(row + i), shift)), factors));
    for (; i < bytes; i += 4) v128.store_lane<f32>(to + i, f32x4.mul(exp(f32x4.sub(v128.load32_splat(row + i), shift)), factors), 0);
  }
}

/** y[t] = x[t, index[t]] − ln Σ_j e^x[t, j]: the log-probability of element index[t]. */
export function logsoftmax_at_f32(y: F32, x: F32, index: I32, n: i32, lo: i32, hi: i32): void {
  const bytes = <usize>n << 2;
  for (let t = lo; t < hi; t++) {
    const row = x + <usize>t * bytes;
    const largest = maximum(row, bytes);
    const chosen = load<f32>(row + (<usize>load<i32>(index + (<usize>t << 2)) << 2));
    store<f32>(y + (<usize>t << 2), <f32>(<f64>chosen - <f64>largest - ln(sumOfExp(row, bytes, largest))));
  }
}

/** The largest element, or NaN where there is one. */
function maximum(x: usize, bytes: usize): f32 {
  let a = f32x4.splat(-Infinity);
  let b = a;
  let valid = f32x4.eq(a, a);
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    const x0 = v128.load(x + i);
    const x1 = v128.load(x + i, 16);
    a = f32x4.pmax(a, x0);
    b = f32x4.pmax(b, x1);
    valid = v128.and(valid, v128.and(f32x4.eq(x0, x0), f32x4.eq(x1, x1)));
  }
  for (; i < bytes; i += 4) {
    const x0 = v128.load32_splat(x + i);
    a = f32x4.pmax(a, x0);
    valid = v128.and(valid, f32x4.eq(x0, x0));
  }
  if (!i32x4.all_true(valid)) return NaN;
  a = f32x4.pmax(a, b);
  return max(max(f32x4.extract_lane(a, 0), f32x4.extract_lane(a, 1)), max(f32x4.extract_lane(a, 2), f32x4.extract_lane(a, 3)));
}

/** Offset of the first element equal to `value`, which is there. */
function find(x: usize, bytes: usize, value: f32): usize {
  const values = f32x4.splat(value);
  let i: usize = 0;
  while (i + 16 <= bytes && !v128.any_true(f32x4.eq(v128.load(x + i), values))) i += 16;
  while (load<f32>(x + i) != value) i += 4;
  return i;
}

/** Σ e^(x[i] − shift) in f64, in an order that depends on the length alone. */
function sumOfExp(x: usize, bytes: usize, shift: f32): f64 {
  const shifts = f32x4.splat(shift);
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const e = exp(f32x4.sub(v128.load(x + i), shifts));
    a = f64x2.add(a, f64x2.promote_low_f32x4(e));
    b = f64x2.add(b, f64x2.promote_low_f32x4(i8x16.shuffle(e, e, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)));
  }
  a = f64x2.add(a, b);
  let total = f64x2.extract_lane(a, 0) + f64x2.extract_lane(a, 1);
  for (; i < bytes; i += 4) total += <f64>f32x4.extract_lane(exp(f32x4.sub(v128.load32_splat(x + i), shifts)), 0);
  return total;
}

/** Natural logarithm of a normal x > 0: x = m · 2^e with √½ ≤ m < √2, ln m = 2 artanh((m − 1) / (m + 1)). */
function ln(x: f64): f64 {
  const bits = reinterpret<i64>(x);
  const e = (bits - 0x3fe6a09e667f3bcd) >> 52; // 0x3fe6… is √½
  const m = reinterpret<f64>(bits - (e << 52));
  const s = (m - 1) / (m + 1);
  const z = s * s;
  let series = 1.0 / 19;
  for (let k = 17; k > 0; k -= 2) series = series * z + 1.0 / <f64>k;
  return <f64>e * 0.6931471805599453 + 2 * s * series;
}
