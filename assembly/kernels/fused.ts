import { F32, QD8, Scratch } from "../types";
import { GROUP, QB8_BYTES, qd8RowBytes } from "../int8";
import { BLOCK_COLUMNS, QK8_BYTES } from "../super-products";
import { geglu_f32, swiglu_f32 } from "./elementwise";
import { rmsnorm_f32 } from "./norm";
import { quantize_f32_qb8, quantize_f32_qd8, quantize_f32_qs8 } from "./quantize";
import { quantize_f32_qk8 } from "./quantize-k";

// Two kernels in one pass, row by row through scratch memory: a row is quantized while it is in the cache, and no barrier
// lies between. The results have the bits of the two kernels one after the other. Units are rows.

/** rmsnorm_f32, then quantize_f32_qb8. */
export function rmsnorm_f32_qb8(y: QD8, x: F32, w: F32, d: i32, eps: f32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    rmsnorm_f32(scratch, row(x, t, d), w, d, eps, 0, 1);
    quantize_f32_qb8(qb8Row(y, t, d), scratch, d, 0, 1);
  }
}

/** rmsnorm_f32, then quantize_f32_qd8. */
export function rmsnorm_f32_qd8(y: QD8, x: F32, w: F32, d: i32, eps: f32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    rmsnorm_f32(scratch, row(x, t, d), w, d, eps, 0, 1);
    quantize_f32_qd8(y + <usize>t * qd8RowBytes(d), scratch, d, 0, 1);
  }
}

/** rmsnorm_f32, then quantize_f32_qs8. */
export function rmsnorm_f32_qs8(y: QD8, x: F32, w: F32, d: i32, eps: f32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    rmsnorm_f32(scratch, row(x, t, d), w, d, eps, 0, 1);
    quantize_f32_qs8(y + <usize>t * qd8RowBytes(d), scratch, d, 0, 1);
  }
}

/** swiglu_f32, then quantize_f32_qb8. */
export function swiglu_f32_qb8(y: QD8, gate: F32, up: F32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    swiglu_f32(scratch, row(gate, t, k), row(up, t, k), 0, k);
    quantize_f32_qb8(qb8Row(y, t, k), scratch, k, 0, 1);
  }
}

/** swiglu_f32, then quantize_f32_qd8. */
export function swiglu_f32_qd8(y: QD8, gate: F32, up: F32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    swiglu_f32(scratch, row(gate, t, k), row(up, t, k), 0, k);
    quantize_f32_qd8(y + <usize>t * qd8RowBytes(k), scratch, k, 0, 1);
  }
}

/** swiglu_f32, then quantize_f32_qs8. */
export function swiglu_f32_qs8(y: QD8, gate: F32, up: F32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    swiglu_f32(scratch, row(gate, t, k), row(up, t, k), 0, k);
    quantize_f32_qs8(y + <usize>t * qd8RowBytes(k), scratch, k, 0, 1);
  }
}

/** geglu_f32, then quantize_f32_qb8. */
export function geglu_f32_qb8(y: QD8, gate: F32, up: F32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    geglu_f32(scratch, row(gate, t, k), row(up, t, k), 0, k);
    quantize_f32_qb8(qb8Row(y, t, k), scratch, k, 0, 1);
  }
}

/** geglu_f32, then quantize_f32_qd8. */
export function geglu_f32_qd8(y: QD8, gate: F32, up: F32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    geglu_f32(scratch, row(gate, t, k), row(up, t, k), 0, k);
    quantize_f32_qd8(y + <usize>t * qd8RowBytes(k), scratch, k, 0, 1);
  }
}

/** rmsnorm_f32, then quantize_f32_qk8. */
export function rmsnorm_f32_qk8(y: QD8, x: F32, w: F32, d: i32, eps: f32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    rmsnorm_f32(scratch, row(x, t, d), w, d, eps, 0, 1);
    quantize_f32_qk8(qk8Row(y, t, d), scratch, d, 0, 1);
  }
}

/** swiglu_f32, then quantize_f32_qk8. */
export function swiglu_f32_qk8(y: QD8, gate: F32, up: F32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    swiglu_f32(scratch, row(gate, t, k), row(up, t, k), 0, k);
    quantize_f32_qk8(qk8Row(y, t, k), scratch, k, 0, 1);
  }
}

/** geglu_f32, then quantize_f32_qk8. */
export function geglu_f32_qk8(y: QD8, gate: F32, up: F32, k: i32, scratch: Scratch, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    geglu_f32(scratch, row(gate, t, k), row(up, t, k), 0, k);
    quantize_f32_qk8(qk8Row(y, t, k), scratch, k, 0, 1);
  }
}

// @ts-ignore: decorator
@inline function row(x: usize, t: i32, k: i32): usize {
  return x + (<usize>t * <usize>k << 2);
}

// @ts-ignore: decorator
@inline function qb8Row(y: usize, t: i32, k: i32): usize {
  return y + <usize>t * (<usize>k / GROUP) * QB8_BYTES;
}

// @ts-ignore: decorator
@inline function qk8Row(y: usize, t: i32, k: i32): usize {
  return y + <usize>t * <usize>(k / BLOCK_COLUMNS) * QK8_BYTES;
}
