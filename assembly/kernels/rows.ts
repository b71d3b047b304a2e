import { F32, I32 } from "../types";

/** y[t, :] = x[index[t], :], rows of d elements; a row with a negative index stays as it is. Units are rows of y. */
export function gather_f32(y: F32, x: F32, index: I32, d: i32, lo: i32, hi: i32): void {
  const bytes = <usize>d << 2;
  for (let t = lo; t < hi; t++) {
    const from = load<i32>(index + (<usize>t << 2));
    if (from >= 0) memory.copy(y + <usize>t * bytes, x + <usize>from * bytes, bytes);
  }
}

/** y[t, i] = x[t, columns[i]], or 0 where columns[i] is negative: x[rows, d] → y[rows, k]. Units are rows. */
export function gather_columns_f32(y: F32, x: F32, columns: I32, k: i32, d: i32, lo: i32, hi: i32): void {
  const end = columns + (<usize>k << 2);
  let to = y + (<usize>lo * <usize>k << 2);
  for (let t = lo; t < hi; t++) {
    const row = x + (<usize>t * <usize>d << 2);
    for (let at = columns; at < end; at += 4, to += 4) {
      const from = load<i32>(at);
      store<f32>(to, from < 0 ? 0 : load<f32>(row + (<usize>from << 2)));
    }
  }
}

/**
 * y[t, columns[i]] = x[t, i] where columns[i] is not negative, which makes of y every column once: x[rows, k] → y[rows, d].
 * Units are rows.
 */
export function scatter_columns_f32(y: F32, x: F32, columns: I32, k: i32, d: i32, lo: i32, hi: i32): void {
  const end = columns + (<usize>k << 2);
  let from = x + (<usize>lo * <usize>k << 2);
  for (let t = lo; t < hi; t++) {
    const row = y + (<usize>t * <usize>d << 2);
    for (let at = columns; at < end; at += 4, from += 4) {
      const to = load<i32>(at);
      if (to >= 0) store<f32>(row + (<usize>to << 2), load<f32>(from));
    }
  }
}

/**
 * y[t, :] = x[t, :] with zeros behind every `block` columns, up to a multiple of 32 that is `wide`: x[rows, d] →
 * y[rows, d / block · wide]. Units are rows.
 */
export function spread_blocks_f32(y: F32, x: F32, d: i32, block: i32, wide: i32, lo: i32, hi: i32): void {
  const bytes = <usize>block << 2;
  const gap = <usize>(wide - block) << 2;
  let from = x + (<usize>lo * <usize>d << 2);
  let to = y + <usize>lo * <usize>(d / block) * (bytes + gap);
  for (const end = x + (<usize>hi * <usize>d << 2); from < end; from += bytes, to += bytes + gap) {
    memory.copy(to, from, bytes);
    memory.fill(to + bytes, 0, gap);
  }
}

/** The inverse: y[t, :] = x[t, :] without what is behind every `block` of `wide` columns: x[rows, d / block · wide] → y[rows, d]. Units are rows. */
export function join_blocks_f32(y: F32, x: F32, d: i32, block: i32, wide: i32, lo: i32, hi: i32): void {
  const bytes = <usize>block << 2;
  const step = <usize>wide << 2;
  let to = y + (<usize>lo * <usize>d << 2);
  let from = x + <usize>lo * <usize>(d / block) * step;
  for (const end = y + (<usize>hi * <usize>d << 2); to < end; to += bytes, from += step) memory.copy(to, from, bytes);
}

/**
 * y[r, :] = the mean of the by · by rows of x that are square r of a grid, row after row: x[grid, grid, d] →
 * y[grid / by, grid / by, d]. Units are rows of y.
 */
export function pool_f32(y: F32, x: F32, grid: i32, by: i32, d: i32, lo: i32, hi: i32): void {
  const squares = grid / by;
  const bytes = <usize>d << 2;
  const share = <f32>1 / <f32>(by * by);
  for (let r = lo; r < hi; r++) {
    const corner = x + <usize>(r / squares * by * grid + r % squares * by) * bytes;
    for (let i: usize = 0; i < bytes; i += i + 16 <= bytes ? 16 : 4) {
      let sum = f32x4.splat(0);
      for (let a = 0; a < by; a++) {
        let at = corner + <usize>(a * grid) * bytes + i;
        for (let b = 0; b < by; b++, at += bytes) sum = f32x4.add(sum, i + 16 <= bytes ? v128.load(at) : v128.load32_zero(at));
      }
      sum = f32x4.mul(sum, f32x4.splat(share));
      const to = y + <usize>r * bytes + i;
      if (i + 16 <= bytes) v128.store(to, sum);
      else v128.store_lane<f32>(to, sum, 0);
    }
  }
}
