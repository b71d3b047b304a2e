import { F32 } from "../types";
import { expFused, madd, ones } from "../simd";

// Units are single elements: the arrays are walked flat, whatever their shape. The last elements of a range, too few
// for a vector, are computed one by one in a vector's first lane, so an element's bits do not depend on where ranges end.

/** y[i] = a[i] + b[i] */
export function add_f32(y: F32, a: F32, b: F32, lo: i32, hi: i32): void {
  let i = <usize>lo << 2;
  const end = <usize>hi << 2;
  for (; i + 16 <= end; i += 16) v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  for (; i < end; i += 4) store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
}

/** y[i] = by · x[i] */
export function scale_f32(y: F32, x: F32, by: f32, lo: i32, hi: i32): void {
  let i = <usize>lo << 2;
  const end = <usize>hi << 2;
  const factor = f32x4.splat(by);
  for (; i + 16 <= end; i += 16) v128.store(y + i, f32x4.mul(v128.load(x + i), factor));
  for (; i < end; i += 4) store<f32>(y + i, load<f32>(x + i) * by);
}

/** y[i] = silu(gate[i]) · up[i], where silu(x) = x / (1 + e^-x). */
export function swiglu_f32(y: F32, gate: F32, up: F32, lo: i32, hi: i32): void {
  let i = <usize>lo << 2;
  const end = <usize>hi << 2;
  for (; i + 16 <= end; i += 16) v128.store(y + i, f32x4.mul(silu(v128.load(gate + i)), v128.load(up + i)));
  for (; i < end; i += 4) v128.store_lane<f32>(y + i, f32x4.mul(silu(v128.load32_splat(gate + i)), v128.load32_splat(up + i)), 0);
}

/** y[i] = gelu(gate[i]) · up[i], with the tanh form of gelu. */
export function geglu_f32(y: F32, gate: F32, up: F32, lo: i32, hi: i32): void {
  let i = <usize>lo << 2;
  const end = <usize>hi << 2;
  for (; i + 16 <= end; i += 16) v128.store(y + i, f32x4.mul(gelu(v128.load(gate + i)), v128.load(up + i)));
  for (; i < end; i += 4) v128.store_lane<f32>(y + i, f32x4.mul(gelu(v128.load32_splat(gate + i)), v128.load32_splat(up + i)), 0);
}

/** y[i] = gelu(x[i]) in the tanh form: x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))). */
export function gelu_f32(y: F32, x: F32, lo: i32, hi: i32): void {
  let i = <usize>lo << 2;
  const end = <usize>hi << 2;
  for (; i + 16 <= end; i += 16) v128.store(y + i, gelu(v128.load(x + i)));
  for (; i < end; i += 4) v128.store_lane<f32>(y + i, gelu(v128.load32_splat(x + i)), 0);
}

// @ts-ignore: decorator
@inline function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(expFused(f32x4.neg(x)), ones()));
}

/** (1 + tanh u) / 2 = 1 / (1 + e^-2u), which keeps its relative accuracy where tanh u is close to −1. */
// @ts-ignore: decorator
@inline function gelu(x: v128): v128 {
  const cubic = madd(f32x4.mul(x, x), v128.load(GELU), v128.load(GELU, 16));
  return f32x4.div(x, f32x4.add(expFused(f32x4.mul(x, cubic)), ones()));
}

// −2√(2/π) · 0.044715 and −2√(2/π)
const GELU: usize = memory.data<f32>(
  [-0.0713548163, -0.0713548163, -0.0713548163, -0.0713548163, -1.59576912, -1.59576912, -1.59576912, -1.59576912],
  16,
);
