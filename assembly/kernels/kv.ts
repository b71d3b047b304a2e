import { F32, I32, KV } from "../types";
import { headBytes, pageOf, writeHead } from "../pages";
import { rotate } from "./rope";

// Stores the keys and values of a step's rows, f32[rows, kv_heads, d] each, into pages (../pages.ts has the diagram).
// Row t goes to position[t] of sequence[t], whose page ids are table[sequence[t], 0 … pages − 1]; page p starts at
// kv + p · page_bytes. Units are heads of rows: rows · kv_heads of them.

/** Stores keys and values as f32. */
export function kv_write_f32(kv: KV, k: F32, v: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<f32>(kv, k, v, 0, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** Stores keys and values as f16, rounded to nearest even; beyond ±65504 they saturate. */
export function kv_write_f16(kv: KV, k: F32, v: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<u16>(kv, k, v, 0, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** Stores keys and values as i8 with scale = max |x| / 127 per position, head, and k or v. */
export function kv_write_i8(kv: KV, k: F32, v: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<i8>(kv, k, v, 0, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** rope_f32 on k, in place, and kv_write_f32 in one. */
export function rope_kv_write_f32(kv: KV, k: F32, v: F32, cos_sin: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<f32>(kv, k, v, cos_sin, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** rope_f32 on k, in place, and kv_write_f16 in one. */
export function rope_kv_write_f16(kv: KV, k: F32, v: F32, cos_sin: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<u16>(kv, k, v, cos_sin, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** rope_f32 on k, in place, and kv_write_i8 in one. */
export function rope_kv_write_i8(kv: KV, k: F32, v: F32, cos_sin: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<i8>(kv, k, v, cos_sin, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** `cos_sin` is 0 where keys come rotated, or are not rotated at all. */
function write<W>(kv: usize, k: usize, v: usize, cos_sin: usize, table: usize, sequence: usize, position: usize, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  for (let u = lo; u < hi; u++) {
    const t = u / kv_heads;
    const at = load<i32>(position + (<usize>t << 2));
    const page = pageOf(kv, table, load<i32>(sequence + (<usize>t << 2)), at, pages, page_bytes);
    const key = k + (<usize>u * <usize>d << 2);
    if (cos_sin != 0) rotate(key, cos_sin + (<usize>t * <usize>d << 2), <usize>d << 1);
    writeHead<W>(page + <usize>(u % kv_heads) * headBytes<W>(d), <usize>(at & 63), key, v + (<usize>u * <usize>d << 2), d);
  }
}
