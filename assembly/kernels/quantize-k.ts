// Inputs quantized to int8 for weights in super-blocks of 256 columns: one scale, and the sums that minimums and zero points
// of the weights are multiplied by.
//
//   qk8:    block of 256 columns | block | …                          340 bytes per block; x ≈ d · q
//   block:  scale d (f32) | Σ q of each of its 8 groups (i16) | group 0 | … | group 7
//   group:  32 columns c: sums of its first 16 | sums of its last 16 | q[0 .. 32)
//   sums:   Σ q[c], c mod 4 < 2 (i16) | Σ q[c], c mod 4 ≥ 2 (i16)

import { F32, QD8 } from "../types";
import { nearestInteger } from "../simd";
import { BLOCK_COLUMNS, GROUPS_AT, QK8_BYTES, QK8_GROUP_BYTES } from "../super-products";

/**
 * Rows of x[rows, k] as qk8, k a multiple of 256, as llama.cpp's Q8_K: d = −m / 127 where m is the block's first element of
 * largest magnitude, q = x / d rounded half to even, so that m itself becomes −127. Units are rows.
 */
export function quantize_f32_qk8(y: QD8, x: F32, k: i32, lo: i32, hi: i32): void {
  const blocks = <usize>(k / BLOCK_COLUMNS);
  const end = x + (<usize>hi * blocks << 10);
  let to = y + <usize>lo * blocks * QK8_BYTES;
  for (let from = x + (<usize>lo * blocks << 10); from < end; from += 1024) {
    const inverse: f32 = -127 / extreme(from);
    const finite = abs<f32>(inverse) < Infinity;
    store<f32>(to, finite ? 1 / inverse : 0);
    const by = f32x4.splat(finite ? inverse : 0);
    for (let g: usize = 0; g < 8; g++) {
      const columns = from + (g << 7);
      for (let $i = 0; $i < 8; $i++) let q$i = nearestInteger(f32x4.mul(v128.load(columns, 16 * $i), by));
      const a = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(q0, q1), i16x8.narrow_i32x4_s(q2, q3));
      const b = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(q4, q5), i16x8.narrow_i32x4_s(q6, q7));
      const group = to + GROUPS_AT + g * QK8_GROUP_BYTES;
      const first = twoSums(a);
      const last = twoSums(b);
      store<i16>(to + (g << 1), <i16>(first + (first >> 16) + last + (last >> 16)), 4);
      store<i32>(group, first);
      store<i32>(group, last, 4);
      v128.store(group, a, 8);
      v128.store(group, b, 24);
    }
    to += QK8_BYTES;
  }
}

/** The first of 256 elements whose magnitude is largest. */
function extreme(x: usize): f32 {
  // Magnitudes have the order of their bits.
  let most = i32x4.splat(0);
  for (let i: usize = 0; i < 1024; i += 16) most = i32x4.max_s(most, f32x4.abs(v128.load(x + i)));
  most = i32x4.max_s(most, v128.shuffle<i64>(most, most, 1, 0));
  most = i32x4.max_s(most, v128.shuffle<i32>(most, most, 1, 0, 3, 2));
  for (let i: usize = 0; i < 1024; i += 16) {
    const found = i32x4.bitmask(f32x4.eq(f32x4.abs(v128.load(x + i)), most));
    if (found != 0) return load<f32>(x + i + (<usize>ctz(found) << 2));
  }
  return 0;
}

/** The two sums of 16 codes, each in 16 bits. */
// @ts-ignore: decorator
@inline function twoSums(codes: v128): i32 {
  const pairs = i16x8.extadd_pairwise_i8x16_s(codes);
  const twos = i16x8.add(pairs, v128.shuffle<i64>(pairs, pairs, 1, 0));
  return i32x4.extract_lane(i16x8.add(twos, v128.shuffle<i32>(twos, twos, 1, 0, 3, 2)), 0);
}
