// Scales as files store them, widened to f32.

import { half } from "./tile";

/** The type of a file's scales. */
export type ScaleType = i32;
export const HALF: ScaleType = 0;
export const BRAIN: ScaleType = 1;
export const FLOAT: ScaleType = 2;

// @ts-ignore: decorator
@inline export function bytesOf(type: ScaleType): usize {
  return type == FLOAT ? 4 : 2;
}

// @ts-ignore: decorator
@inline export function scaleAt(type: ScaleType, at: usize): f32 {
  return type == FLOAT ? load<f32>(at) : type == HALF ? half<u16>(at) : half<i16>(at);
}
