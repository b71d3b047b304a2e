import { F32 } from "../types";
import { madd, sumOfLanes } from "../simd";

// Units are rows of d elements. A row may be anything that is normalised by itself: a token, or one head of a token.
// y may be x.

/** y[t, i] = x[t, i] / √(mean_j x[t, j]² + eps) · w[i] */
export function rmsnorm_f32(y: F32, x: F32, w: F32, d: i32, eps: f32, lo: i32, hi: i32): void {
  const bytes = <usize>d << 2;
  const vectors = bytes & ~15;
  for (let t = lo; t < hi; t++) {
    const row = x + <usize>t * bytes;
    const to = y + <usize>t * bytes;
    const scale: f32 = 1 / sqrt<f32>(sumOfSquares(row, bytes, 0) / <f32>d + eps);
    const scales = f32x4.splat(scale);
    let i: usize = 0;
    for (; i < vectors; i += 16) v128.store(to + i, f32x4.mul(f32x4.mul(v128.load(row + i), scales), v128.load(w + i)));
    for (; i < bytes; i += 4) store<f32>(to + i, load<f32>(row + i) * scale * load<f32>(w + i));
  }
}

/** y[t, i] = (x[t, i] − mean) / √(variance + eps) · w[i] + b[i], mean and variance over row t. */
export function layernorm_f32(y: F32, x: F32, w: F32, b: F32, d: i32, eps: f32, lo: i32, hi: i32): void {
  const bytes = <usize>d << 2;
  const vectors = bytes & ~15;
  for (let t = lo; t < hi; t++) {
    const row = x + <usize>t * bytes;
    const to = y + <usize>t * bytes;
    const mean = sum(row, bytes) / <f32>d;
    const scale: f32 = 1 / sqrt<f32>(sumOfSquares(row, bytes, mean) / <f32>d + eps);
    const means = f32x4.splat(mean);
    const scales = f32x4.splat(scale);
    let i: usize = 0;
    for (; i < vectors; i += 16) {
      const centred = f32x4.mul(f32x4.sub(v128.load(row + i), means), scales);
      v128.store(to + i, f32x4.add(f32x4.mul(centred, v128.load(w + i)), v128.load(b + i)));
    }
    for (; i < bytes; i += 4) store<f32>(to + i, (load<f32>(row + i) - mean) * scale * load<f32>(w + i) + load<f32>(b + i));
  }
}

/** Σ (x[i] − centre)², in an order that depends on the length alone. */
function sumOfSquares(x: usize, bytes: usize, centre: f32): f32 {
  const centres = f32x4.splat(centre);
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let e = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 64 <= bytes; i += 64) {
    const x0 = f32x4.sub(v128.load(x + i), centres);
    const x1 = f32x4.sub(v128.load(x + i, 16), centres);
    const x2 = f32x4.sub(v128.load(x + i, 32), centres);
    const x3 = f32x4.sub(v128.load(x + i, 48), centres);
    a = madd(x0, x0, a);
    b = madd(x1, x1, b);
    c = madd(x2, x2, c);
    e = madd(x3, x3, e);
  }
  for (; i + 16 <= bytes; i += 16) {
    const x0 = f32x4.sub(v128.load(x + i), centres);
    a = madd(x0, x0, a);
  }
  let total = sumOfLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, e)));
  for (; i < bytes; i += 4) {
    const x0 = load<f32>(x + i) - centre;
    total += x0 * x0;
  }
  return total;
}

/** Σ x[i], in an order that depends on the length alone. */
function sum(x: usize, bytes: usize): f32 {
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let i: usize = 0;
  for (; i + 32 <= bytes; i += 32) {
    a = f32x4.add(a, v128.load(x + i));
    b = f32x4.add(b, v128.load(x + i, 16));
  }
  let total = sumOfLanes(f32x4.add(a, b));
  for (; i < bytes; i += 4) total += load<f32>(x + i);
  return total;
}
