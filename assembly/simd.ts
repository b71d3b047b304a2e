// Vocabulary shared by kernel files: each @inline function is one idea in one or two instructions.

/** Sum of the four lanes, in the fixed order (0 + 1) + (2 + 3). */
// @ts-ignore: decorator
@inline export function sumOfLanes(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** a · b + c per lane; fused where the relaxed target has it. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  else return f32x4.add(f32x4.mul(a, b), c);
}

/** c − a · b per lane; fused where the relaxed target has it. */
// @ts-ignore: decorator
@inline export function nmadd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_nmadd(a, b, c);
  else return f32x4.sub(c, f32x4.mul(a, b));
}

/** Integers next to x per lane, |x| < 2^22, halves to even: 1.5 · 2^23 + x has them in its low bits. */
// @ts-ignore: decorator
@inline export function nearestInteger(x: v128): v128 {
  const magic = v128.load(EXP, 48);
  return i32x4.sub(f32x4.add(x, magic), magic);
}

/** table[place] for 16 places below 16. */
// @ts-ignore: decorator
@inline export function lookup(table: v128, places: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, places);
  else return i8x16.swizzle(table, places);
}

// Constant vectors live in memory: V8 rebuilds a v128.const in three instructions at every use, a load is one.
const EXP: usize = memory.data<f32>(
  [
    -88.0297, -88.0297, -88.0297, -88.0297, // ln 2^-127: there n + 127 is 0, and so are the bits of 2^n below
    88.72283, 88.72283, 88.72283, 88.72283, // ln 2^128
    1.44269504, 1.44269504, 1.44269504, 1.44269504, // 1 / ln 2
    12582912, 12582912, 12582912, 12582912, // 1.5 · 2^23: adding it rounds to an integer, kept in the low bits
    0.693359375, 0.693359375, 0.693359375, 0.693359375, // ln 2 in two parts, the first with 9 bits: n · it is exact
    -2.12194440e-4, -2.12194440e-4, -2.12194440e-4, -2.12194440e-4,
    1.9875691500e-4, 1.9875691500e-4, 1.9875691500e-4, 1.9875691500e-4, // minimax polynomial of (e^r − 1 − r) / r²
    1.3981999507e-3, 1.3981999507e-3, 1.3981999507e-3, 1.3981999507e-3,
    8.3334519073e-3, 8.3334519073e-3, 8.3334519073e-3, 8.3334519073e-3,
    4.1665795894e-2, 4.1665795894e-2, 4.1665795894e-2, 4.1665795894e-2,
    1.6666665459e-1, 1.6666665459e-1, 1.6666665459e-1, 1.6666665459e-1,
    0.5, 0.5, 0.5, 0.5,
    1, 1, 1, 1,
  ],
  16,
);

/** The vector of ones, as a load. */
// @ts-ignore: decorator
@inline export function ones(): v128 {
  return v128.load(EXP, 192);
}

/**
 * e^x per lane with a relative error below 1.2e-7: x = n · ln 2 + r with |r| ≤ ln 2 / 2, e^x = 2^n · e^r.
 * 0 below −87.69 (no denormals to speak of), +Inf above 88.37, NaN of NaN. Only plain operations: both builds, and
 * every engine, give the same bits.
 */
// @ts-ignore: decorator
@inline export function exp(x: v128): v128 {
  return expBy(x, false);
}

/** The same with fused products where there are any: a third fewer instructions, and not the same last bit everywhere. */
// @ts-ignore: decorator
@inline export function expFused(x: v128): v128 {
  return expBy(x, true);
}

// @ts-ignore: decorator
@inline function expBy(x: v128, fused: bool): v128 {
  const clamped = f32x4.pmin(f32x4.pmax(x, v128.load(EXP)), v128.load(EXP, 16));
  const magic = v128.load(EXP, 48);
  const shifted = f32x4.add(f32x4.mul(clamped, v128.load(EXP, 32)), magic);
  const n = f32x4.sub(shifted, magic);
  const r = subtract(n, v128.load(EXP, 80), subtract(n, v128.load(EXP, 64), clamped, fused), fused);
  // Pairs of terms side by side: what waits for a product before it is what this takes.
  const square = f32x4.mul(r, r);
  const high = sum(v128.load(EXP, 96), r, v128.load(EXP, 112), fused);
  const middle = sum(v128.load(EXP, 128), r, v128.load(EXP, 144), fused);
  const low = sum(v128.load(EXP, 160), r, v128.load(EXP, 176), fused);
  const terms = sum(sum(high, square, middle, fused), square, low, fused);
  const p = f32x4.add(sum(terms, square, r, fused), v128.load(EXP, 192));
  return f32x4.mul(p, i32x4.add(i32x4.shl(shifted, 23), v128.load(EXP, 192)));
}

/** a · b + c */
// @ts-ignore: decorator
@inline function sum(a: v128, b: v128, c: v128, fused: bool): v128 {
  return fused ? madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** c − a · b */
// @ts-ignore: decorator
@inline function subtract(a: v128, b: v128, c: v128, fused: bool): v128 {
  return fused ? nmadd(a, b, c) : f32x4.sub(c, f32x4.mul(a, b));
}

const EXP2: usize = memory.data<f32>(
  [
    -127, -127, -127, -127, // as above
    12582912, 12582912, 12582912, 12582912,
    1.53533620e-4, 1.53533620e-4, 1.53533620e-4, 1.53533620e-4, // minimax polynomial of (2^r − 1) / r
    1.33988739e-3, 1.33988739e-3, 1.33988739e-3, 1.33988739e-3,
    9.61843692e-3, 9.61843692e-3, 9.61843692e-3, 9.61843692e-3,
    5.55033237e-2, 5.55033237e-2, 5.55033237e-2, 5.55033237e-2,
    2.40226477e-1, 2.40226477e-1, 2.40226477e-1, 2.40226477e-1,
    6.93147182e-1, 6.93147182e-1, 6.93147182e-1, 6.93147182e-1,
    1, 1, 1, 1,
  ],
  16,
);

/**
 * 2^x per lane for x < 127.5, with a relative error below 1.1e-7 and 2^0 exactly 1: x = n + r with |r| ≤ ½. 0 below
 * −126.5, NaN of NaN.
 */
// @ts-ignore: decorator
@inline export function exp2(x: v128): v128 {
  const one = v128.load(EXP2, 128);
  const magic = v128.load(EXP2, 16);
  const clamped = f32x4.pmax(x, v128.load(EXP2));
  const n = f32x4.add(clamped, magic);
  const r = f32x4.sub(clamped, f32x4.sub(n, magic));
  let p = madd(v128.load(EXP2, 32), r, v128.load(EXP2, 48));
  p = madd(p, r, v128.load(EXP2, 64));
  p = madd(p, r, v128.load(EXP2, 80));
  p = madd(p, r, v128.load(EXP2, 96));
  p = madd(p, r, v128.load(EXP2, 112));
  p = madd(p, r, one);
  return f32x4.mul(p, i32x4.add(i32x4.shl(n, 23), one));
}
