import { F32 } from "../types";

// Units are single elements: the arrays are walked flat, whatever their shape.

/** y[i] = a[i] + b[i] */
export function add_f32(y: F32, a: F32, b: F32, lo: i32, hi: i32): void {
  let i = <usize>lo << 2;
  const end = <usize>hi << 2;
  for (; i + 16 <= end; i += 16) v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  for (; i < end; i += 4) store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
}
