import { F32, I32 } from "../types";
import { madd } from "../simd";

// Rotary position embedding. A table is computed once per step and frequency set, and every layer reads it:
//   cos_sin[t] = [cos of frequency 0 … half−1][sin of frequency 0 … half−1]
// Pairs are half-split: element j of a head turns with element j + half.

/**
 * cos_sin[t, j] = cos(angle) · attention_factor, cos_sin[t, half + j] = sin(angle) · attention_factor with
 * angle = position[t] · inv_freq[j] rounded to f32, as the models were trained. Units are rows.
 */
export function rope_table_f32(cos_sin: F32, position: I32, inv_freq: F32, half: i32, attention_factor: f32, lo: i32, hi: i32): void {
  for (let t = lo; t < hi; t++) {
    const row = cos_sin + (<usize>t * <usize>half << 3);
    const at = <f32>load<i32>(position + (<usize>t << 2));
    for (let j = 0; j < half; j++) {
      const angle = <f64>(at * load<f32>(inv_freq + (<usize>j << 2)));
      // angle = quarter · π/2 + r, |r| ≤ π/4; π/2 in two parts, so that quarter · the first is exact up to 2^20 radians.
      const quarter = nearest<f64>(angle * 0.6366197723675814);
      const r = angle - quarter * 1.5707963267341256 - quarter * 6.077100506506192e-11;
      const turns = <i32>quarter;
      let cos = cosine(r);
      let sin = sine(r);
      if (turns & 1) {
        const swapped = cos;
        cos = -sin;
        sin = swapped;
      }
      if (turns & 2) {
        cos = -cos;
        sin = -sin;
      }
      store<f32>(row + (<usize>j << 2), <f32>cos * attention_factor);
      store<f32>(row + (<usize>(j + half) << 2), <f32>sin * attention_factor);
    }
  }
}

/** Taylor series, in error by less than 1e-12 for |r| ≤ π/4. */
// @ts-ignore: decorator
@inline function sine(r: f64): f64 {
  const z = r * r;
  return r * (1 + z * (-1 / 6.0 + z * (1 / 120.0 + z * (-1 / 5040.0 + z * (1 / 362880.0 + z * (-1 / 39916800.0 + z * (1 / 6227020800.0)))))));
}

// @ts-ignore: decorator
@inline function cosine(r: f64): f64 {
  const z = r * r;
  return 1 + z * (-1 / 2.0 + z * (1 / 24.0 + z * (-1 / 720.0 + z * (1 / 40320.0 + z * (-1 / 3628800.0 + z * (1 / 479001600.0))))));
}

/**
 * Turns the heads of x[rows, heads, d] in place: with c, s of row t, (x[j], x[j + d/2]) becomes
 * (x[j] · c[j] − x[j + d/2] · s[j], x[j + d/2] · c[j] + x[j] · s[j]). Units are heads of rows: rows · heads of them.
 */
export function rope_f32(x: F32, cos_sin: F32, heads: i32, d: i32, lo: i32, hi: i32): void {
  const half = <usize>d << 1; // bytes of d/2 elements
  for (let u = lo; u < hi; u++) {
    rotate(x + (<usize>u * <usize>d << 2), cos_sin + (<usize>(u / heads) * <usize>d << 2), half);
  }
}

/** Rotates one head of 2 · half bytes in place; the row of the table has the same size. */
export function rotate(x: usize, cos_sin: usize, half: usize): void {
  let i: usize = 0;
  for (; i + 16 <= half; i += 16) {
    const a = v128.load(x + i);
    const b = v128.load(x + i + half);
    const c = v128.load(cos_sin + i);
    const s = v128.load(cos_sin + i + half);
    v128.store(x + i, madd(a, c, f32x4.neg(f32x4.mul(b, s))));
    v128.store(x + i + half, madd(b, c, f32x4.mul(a, s)));
  }
  for (; i < half; i += 4) {
    const a = load<f32>(x + i);
    const b = load<f32>(x + i + half);
    const c = load<f32>(cos_sin + i);
    const s = load<f32>(cos_sin + i + half);
    store<f32>(x + i, a * c - b * s);
    store<f32>(x + i + half, b * c + a * s);
  }
}
