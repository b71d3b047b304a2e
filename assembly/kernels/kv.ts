import { F32, I32, KV } from "../types";
import { headBytes, pageOf, writeHead } from "../pages";

// Stores the keys and values of a step's rows, f32[rows, kv_heads, d] each, into pages (../pages.ts has the diagram).
// Row t goes to position[t] of sequence[t], whose page ids are table[sequence[t], 0 … pages − 1]; page p starts at
// kv + p · page_bytes. Units are heads of rows: rows · kv_heads of them.

/** Stores keys and values as f32. */
export function kv_write_f32(kv: KV, k: F32, v: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<f32>(kv, k, v, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** Stores keys and values as f16, rounded to nearest even; beyond ±65504 they saturate. */
export function kv_write_f16(kv: KV, k: F32, v: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<u16>(kv, k, v, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

/** Stores keys and values as i8 with scale = max |x| / 127 per position, head, and k or v. */
export function kv_write_i8(kv: KV, k: F32, v: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  write<i8>(kv, k, v, table, sequence, position, kv_heads, d, pages, page_bytes, lo, hi);
}

// @ts-ignore: decorator
@inline function write<W>(kv: KV, k: F32, v: F32, table: I32, sequence: I32, position: I32, kv_heads: i32, d: i32, pages: i32, page_bytes: i32, lo: i32, hi: i32): void {
  for (let u = lo; u < hi; u++) {
    const t = <usize>(u / kv_heads) << 2;
    const at = load<i32>(position + t);
    const page = pageOf(kv, table, load<i32>(sequence + t), at, pages, page_bytes);
    const from = <usize>u * <usize>d << 2;
    writeHead<W>(page + <usize>(u % kv_heads) * headBytes<W>(d), <usize>(at & 63), k + from, v + from, d);
  }
}
