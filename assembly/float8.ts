// Floats of 8 bits, as files and the packed form have them:
//
//   E4M3   s e×4 m×3   bias 7, no infinities; s1111111 is NaN
//   E5M2   s e×5 m×2   bias 15, the upper half of an f16
//
// With the exponent moved to f32's bias, x = ± 2^(e − bias) · (1 + m), m as a fraction, is right unless e is 0: then the value
// is ± 2^(1 − bias) · m = 2x ∓ 2^(1 − bias), which is the nearer to 0 of the two exactly where e is 0. So of |x| and
// 2|x| − 2^(1 − bias) the lesser is right everywhere, and no f32 on the way is denormal: those are slow on some machines.
// NaN and infinity are not decoded as such: they are refused when weights are loaded.

/** A format: where its constants lie. */
export type Float8 = usize;

// Exponent and mantissa in an f32 · 2^(bias − 127), what the exponent lacks, 2^(1 − bias), sign.
export const E4M3: Float8 = memory.data<u32>(
  [
    0x07f00000, 0x07f00000, 0x07f00000, 0x07f00000, 0x3c000000, 0x3c000000, 0x3c000000, 0x3c000000,
    0x3c800000, 0x3c800000, 0x3c800000, 0x3c800000, 0x80000000, 0x80000000, 0x80000000, 0x80000000,
  ],
  16,
);
export const E5M2: Float8 = memory.data<u32>(
  [
    0x0fe00000, 0x0fe00000, 0x0fe00000, 0x0fe00000, 0x38000000, 0x38000000, 0x38000000, 0x38000000,
    0x38800000, 0x38800000, 0x38800000, 0x38800000, 0x80000000, 0x80000000, 0x80000000, 0x80000000,
  ],
  16,
);

/** Byte i of each 32-bit lane as f32, exact. */
// @ts-ignore: decorator
@inline export function float8(format: Float8, bytes: v128, i: i32): v128 {
  const top = i32x4.shl(bytes, 24 - 8 * i);
  const bits = v128.and(i32x4.shr_u(top, format == E4M3 ? 4 : 3), v128.load(format));
  const x = i32x4.add(bits, v128.load(format, 16));
  const magnitude = f32x4.pmin(x, f32x4.sub(f32x4.add(x, x), v128.load(format, 32)));
  return v128.bitselect(top, magnitude, v128.load(format, 48));
}
