import { F32, I32 } from "../types";

/** y[t, :] = x[index[t], :], rows of d elements; a row with a negative index stays as it is. Units are rows of y. */
export function gather_f32(y: F32, x: F32, index: I32, d: i32, lo: i32, hi: i32): void {
  const bytes = <usize>d << 2;
  for (let t = lo; t < hi; t++) {
    const from = load<i32>(index + (<usize>t << 2));
    if (from >= 0) memory.copy(y + <usize>t * bytes, x + <usize>from * bytes, bytes);
  }
}
