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
