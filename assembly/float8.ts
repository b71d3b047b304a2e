// Floats of 8 bits:
//
//   E4M3   s e×4 m×3   bias 7        0 … 480 here; files have NaN where 480 would be
//   E5M2   s e×5 m×2   bias 15       0 … 114688 here; files have infinity and NaN where e is 31
//
// Sign, exponent and mantissa moved to their places in an f32 are the value · 2^(bias − 127), exactly: where the float is
// denormal, so is the f32. Some machines are slow with those, so `lift` makes them rare: the floats of a block are multiplied by
// the power of two that brings the largest to the highest exponent. That loses nothing, for above the least exponent there is a
// float for every bit pattern of a denormal.

/** A format: where its constants lie. */
export type Float8 = usize;

// Where the bits land in an f32, and half of the exponent that the value lacks then: 2^60, 2^56.
export const E4M3: Float8 = memory.data<u32>([0x87f00000, 0x87f00000, 0x87f00000, 0x87f00000, 0x5d800000, 0x5d800000, 0x5d800000, 0x5d800000], 16);
export const E5M2: Float8 = memory.data<u32>([0x8fe00000, 0x8fe00000, 0x8fe00000, 0x8fe00000, 0x5b800000, 0x5b800000, 0x5b800000, 0x5b800000], 16);

/** Byte i of each 32-bit lane as f32, to be multiplied by halfPower twice. */
// @ts-ignore: decorator
@inline export function float8(format: Float8, bytes: v128, i: i32): v128 {
  return v128.and(i32x4.shr_s(i32x4.shl(bytes, 24 - 8 * i), format == E4M3 ? 4 : 3), v128.load(format));
}

/** The square root of what float8 lacks, a power of two: as a factor it changes no rounding. */
// @ts-ignore: decorator
@inline export function halfPower(format: Float8): v128 {
  return v128.load(format, 16);
}

// @ts-ignore: decorator
@inline function fractionBits(format: Float8): i32 {
  return format == E4M3 ? 3 : 2;
}

/** By which power of two floats may be multiplied, the largest of which is `most` without its sign. */
export function roomAbove(format: Float8, most: i32): i32 {
  const highest = format == E4M3 ? 15 : 31;
  return highest - max(most >> fractionBits(format), 1);
}

/** The float · 2^power. */
export function lift(format: Float8, float: i32, power: i32): i32 {
  const bits = fractionBits(format);
  const sign = float & 128;
  const magnitude = float & 127;
  if (magnitude >> bits != 0) return sign | (magnitude + (power << bits));
  if (magnitude == 0) return sign;
  // A denormal is magnitude · 2^(1 − bias): `shift` more make a one of its first fraction bit.
  const shift = bits - (31 - clz(magnitude));
  if (power < shift) return sign | (magnitude << power);
  return sign | (((power - shift) << bits) + (magnitude << shift));
}
