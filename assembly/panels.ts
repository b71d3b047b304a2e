import { madd } from "./simd";

// The inner loops of attention over the panels of a page (./pages.ts), for blocks of up to 4 queries.
//
// An element is read as a number that is easy to make of its bits; what is missing is made up for once per query or
// position: an f16 is read as value · 2^-112 (its bits moved to f32's places), so queries and weights are multiplied by
// 2^112, which is exact (queries stay below 2^16); an i8 without its position's scale, which goes to the score or the weight.
//
// Every result is one chain of multiply-adds over channels (scores) or positions (values), whatever the block.

// What keeps sign, exponent and mantissa of an f16 that moved 13 bits up, sign-extended.
const F16: usize = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000], 16);

/** What a query of a head with elements W is multiplied by, and a weight of its values. */
// @ts-ignore: decorator
@inline export function gain<W>(): f32 {
  return sizeof<W>() == 2 ? <f32>5192296858534827628530496329220096.0 : <f32>1;
}

/** Columns 0 … 3 of a row of 16, or 8, elements; `mask` is the vector at F16. */
// @ts-ignore: decorator
@inline function quad0<W>(row: usize, mask: v128): v128 {
  if (sizeof<W>() == 4) return v128.load(row);
  if (sizeof<W>() == 2) return v128.and(i32x4.shl(v128.load_ext<i16>(row), 13), mask);
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(row))));
}

/** Columns 4 … 7. */
// @ts-ignore: decorator
@inline function quad1<W>(row: usize, mask: v128): v128 {
  if (sizeof<W>() == 4) return v128.load(row, 16);
  if (sizeof<W>() == 2) return v128.and(i32x4.shl(v128.load_ext<i16>(row, 8), 13), mask);
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(row, 4))));
}

/** Columns 8 … 11. */
// @ts-ignore: decorator
@inline function quad2<W>(row: usize, mask: v128): v128 {
  if (sizeof<W>() == 4) return v128.load(row, 32);
  if (sizeof<W>() == 2) return v128.and(i32x4.shl(v128.load_ext<i16>(row, 16), 13), mask);
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(row, 8))));
}

/** Columns 12 … 15. */
// @ts-ignore: decorator
@inline function quad3<W>(row: usize, mask: v128): v128 {
  if (sizeof<W>() == 4) return v128.load(row, 48);
  if (sizeof<W>() == 2) return v128.and(i32x4.shl(v128.load_ext<i16>(row, 24), 13), mask);
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(row, 12))));
}

/** Writes `count` elements W, a multiple of 16 of them, as the f32 that the loops below would read. */
export function unpack<W>(to: usize, from: usize, count: i32): void {
  const mask = v128.load(F16);
  for (const end = to + (<usize>count << 2); to < end; to += 64, from += 16 * sizeof<W>()) {
    for (let $c = 0; $c < 4; $c++) v128.store(to, quad$c<W>(from, mask), 16 * $c);
  }
}

/** to[r, 0 … 7] = Σ_j q[j, r] · k[j, 0 … 7] for r < 4: half a panel of keys. Rows of q have 4 elements, of `to` 64. */
export function scores4<W>(to: usize, q: usize, k: usize, d: i32): void {
  const mask = v128.load(F16);
  for (let $r = 0; $r < 4; $r++) {
    let a$r = f32x4.splat(0);
    let b$r = a$r;
  }
  for (const end = q + (<usize>d << 4); q < end; q += 16, k += 16 * sizeof<W>()) {
    const ka = quad0<W>(k, mask);
    const kb = quad1<W>(k, mask);
    for (let $r = 0; $r < 4; $r++) {
      const q$r = v128.load32_splat(q, 4 * $r);
      a$r = madd(q$r, ka, a$r);
      b$r = madd(q$r, kb, b$r);
    }
  }
  for (let $r = 0; $r < 4; $r++) {
    v128.store(to, a$r, 256 * $r);
    v128.store(to, b$r, 256 * $r + 16);
  }
}

/** The same for r < 2 and a whole panel. */
export function scores2<W>(to: usize, q: usize, k: usize, d: i32): void {
  const mask = v128.load(F16);
  for (let $c = 0; $c < 4; $c++) {
    let a$c = f32x4.splat(0);
    let b$c = a$c;
  }
  for (const end = q + (<usize>d << 4); q < end; q += 16, k += 16 * sizeof<W>()) {
    const qa = v128.load32_splat(q);
    const qb = v128.load32_splat(q, 4);
    for (let $c = 0; $c < 4; $c++) {
      const k$c = quad$c<W>(k, mask);
      a$c = madd(qa, k$c, a$c);
      b$c = madd(qb, k$c, b$c);
    }
  }
  for (let $c = 0; $c < 4; $c++) {
    v128.store(to, a$c, 16 * $c);
    v128.store(to, b$c, 256 + 16 * $c);
  }
}

/** The same for r = 0 and a whole panel. */
export function scores1<W>(to: usize, q: usize, k: usize, d: i32): void {
  const mask = v128.load(F16);
  for (let $c = 0; $c < 4; $c++) let a$c = f32x4.splat(0);
  for (const end = q + (<usize>d << 4); q < end; q += 16, k += 16 * sizeof<W>()) {
    const x = v128.load32_splat(q);
    for (let $c = 0; $c < 4; $c++) a$c = madd(x, quad$c<W>(k, mask), a$c);
  }
  for (let $c = 0; $c < 4; $c++) v128.store(to, a$c, 16 * $c);
}

/**
 * acc[r, 0 … 7] = acc[r, 0 … 7] · shrink[r] + Σ_s p[r, s] · v[s, 0 … 7] for r < 4 and `count` positions: half a panel of
 * values. shrink[r] is 32 bytes after shrink[r − 1]; rows of p have 64 elements.
 */
export function values4<W>(acc: usize, shrink: usize, p: usize, v: usize, count: i32): void {
  const mask = v128.load(F16);
  for (let $r = 0; $r < 4; $r++) {
    const f$r = v128.load32_splat(shrink, 32 * $r);
    let a$r = f32x4.mul(v128.load(acc, 32 * $r), f$r);
    let b$r = f32x4.mul(v128.load(acc, 32 * $r + 16), f$r);
  }
  for (const end = p + (<usize>count << 2); p < end; p += 4, v += 16 * sizeof<W>()) {
    const va = quad0<W>(v, mask);
    const vb = quad1<W>(v, mask);
    for (let $r = 0; $r < 4; $r++) {
      const p$r = v128.load32_splat(p, 256 * $r);
      a$r = madd(p$r, va, a$r);
      b$r = madd(p$r, vb, b$r);
    }
  }
  for (let $r = 0; $r < 4; $r++) {
    v128.store(acc, a$r, 32 * $r);
    v128.store(acc, b$r, 32 * $r + 16);
  }
}

/** The same for r < 2 and a whole panel, whose second half continues 128 bytes on in acc. */
export function values2<W>(acc: usize, shrink: usize, p: usize, v: usize, count: i32): void {
  const mask = v128.load(F16);
  const fa = v128.load32_splat(shrink);
  const fb = v128.load32_splat(shrink, 32);
  for (let $c = 0; $c < 2; $c++) {
    let a$c = f32x4.mul(v128.load(acc, 16 * $c), fa);
    let b$c = f32x4.mul(v128.load(acc, 16 * $c + 32), fb);
  }
  for (let $c = 2; $c < 4; $c++) {
    let a$c = f32x4.mul(v128.load(acc, 16 * $c + 96), fa);
    let b$c = f32x4.mul(v128.load(acc, 16 * $c + 128), fb);
  }
  for (const end = p + (<usize>count << 2); p < end; p += 4, v += 16 * sizeof<W>()) {
    const pa = v128.load32_splat(p);
    const pb = v128.load32_splat(p, 256);
    for (let $c = 0; $c < 4; $c++) {
      const v$c = quad$c<W>(v, mask);
      a$c = madd(pa, v$c, a$c);
      b$c = madd(pb, v$c, b$c);
    }
  }
  for (let $c = 0; $c < 2; $c++) {
    v128.store(acc, a$c, 16 * $c);
    v128.store(acc, b$c, 16 * $c + 32);
  }
  for (let $c = 2; $c < 4; $c++) {
    v128.store(acc, a$c, 16 * $c + 96);
    v128.store(acc, b$c, 16 * $c + 128);
  }
}

/** The same for r = 0 and a whole panel. */
export function values1<W>(acc: usize, shrink: usize, p: usize, v: usize, count: i32): void {
  const mask = v128.load(F16);
  const f = v128.load32_splat(shrink);
  for (let $c = 0; $c < 2; $c++) let a$c = f32x4.mul(v128.load(acc, 16 * $c), f);
  for (let $c = 2; $c < 4; $c++) let a$c = f32x4.mul(v128.load(acc, 16 * $c + 96), f);
  for (const end = p + (<usize>count << 2); p < end; p += 4, v += 16 * sizeof<W>()) {
    const x = v128.load32_splat(p);
    for (let $c = 0; $c < 4; $c++) a$c = madd(x, quad$c<W>(v, mask), a$c);
  }
  for (let $c = 0; $c < 2; $c++) v128.store(acc, a$c, 16 * $c);
  for (let $c = 2; $c < 4; $c++) v128.store(acc, a$c, 16 * $c + 96);
}
