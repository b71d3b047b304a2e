// Codes of 1 to 8 bits as planes of 8, 4, 2 and 1 bits: 3 bits are a plane of 2 and one of 1, 7 are planes of 4, 2 and 1. The
// widest plane has a code's lowest bits. Planes follow each other, the widest first; a plane of a bits of 16 values is 2·a bytes:
//
//   16 values:  byte i: value i in the lowest a bits, value 2·a + i in the next, …
//   32 columns of 16 rows, 64·a bytes:
//     a = 8   rows 0-7 | rows 8-15; each: columns 0-3 | 4-7 | … | 28-31; each: row 0: 4 bytes | row 1 | … | row 7
//     a = 4   as in nibbles.ts
//     a = 2   columns 0-15 | 16-31; each: rows 0-3 | 4-7 | 8-11 | 12-15; each: row 0: 4 bytes | row 1 | row 2 | row 3
//             byte i: column i in bits 0-1, 4 + i in bits 2-3, 8 + i in bits 4-5, 12 + i in bits 6-7
//     a = 1   rows 0-3 | 4-7 | 8-11 | 12-15; each: row 0: 4 bytes | row 1 | row 2 | row 3;  byte i: column 4·b + i in bit b
//
// Opened, codes of 32 columns of 16 rows lie a byte each as a plane of 8 bits has them: 4 rows of 4 columns are a vector.

import { lowNibbles } from "./int8";
import { vectorAt } from "./nibbles";

/** Bytes of opened codes of 32 columns. */
export const OPENED_BYTES: usize = 512;

/** Bytes of 16 values. */
// @ts-ignore: decorator
@inline export function valuesBytes(bits: i32): usize {
  return <usize>bits << 1;
}

/** Bytes of 32 columns of 16 rows. */
// @ts-ignore: decorator
@inline export function columnsBytes(bits: i32): usize {
  return <usize>bits << 6;
}

/** Where columns 4s to 4s + 3 of rows 4v to 4v + 3 lie among opened codes. */
// @ts-ignore: decorator
@inline export function openedAt(v: i32, s: i32): usize {
  return <usize>(((v & 2) << 7) | (s << 5) | ((v & 1) << 4));
}

/** Columns 4s to 4s + 3 of rows 4v to 4v + 3. */
// @ts-ignore: decorator
@inline export function codesOf(bits: i32, planes: usize, v: i32, s: i32): v128 {
  if (bits == 8) return v128.load(planes + openedAt(v, s));
  let codes = i8x16.splat(0);
  if (bits & 4) {
    const pair = v128.load(planes + vectorAt(4 * v) + (<usize>(s & 3) << 5));
    codes = v128.and(s < 4 ? pair : i16x8.shr_u(pair, 4), lowNibbles());
    planes += 256;
  }
  if (bits & 2) {
    const fours = v128.load(planes + (<usize>(((s & 4) << 4) | (v << 4))));
    codes = v128.or(codes, i16x8.shl(v128.and(i16x8.shr_u(fours, 2 * (s & 3)), i8x16.splat(3)), bits & 4));
    planes += 128;
  }
  if (bits & 1) {
    const eights = v128.load(planes + (<usize>v << 4));
    codes = v128.or(codes, i16x8.shl(v128.and(i16x8.shr_u(eights, s), i8x16.splat(1)), bits & 6));
  }
  return codes;
}

/** Opens 32 columns. */
export function openColumns(bits: i32, opened: usize, planes: usize): void {
  switch (bits) {
    case 1: open(1, opened, planes); break;
    case 2: open(2, opened, planes); break;
    case 3: open(3, opened, planes); break;
    case 4: open(4, opened, planes); break;
    case 5: open(5, opened, planes); break;
    case 6: open(6, opened, planes); break;
    case 7: open(7, opened, planes); break;
    default: memory.copy(opened, planes, OPENED_BYTES);
  }
}

// Bits of planes of 2 and of 1 in a byte, above 0 or 4, and above 0, 2, 4 or 6 others.
const MASKS: usize = memory.data<u32>(
  [
    0x03030303, 0x03030303, 0x03030303, 0x03030303, 0x30303030, 0x30303030, 0x30303030, 0x30303030,
    0x01010101, 0x01010101, 0x01010101, 0x01010101, 0x04040404, 0x04040404, 0x04040404, 0x04040404,
    0x10101010, 0x10101010, 0x10101010, 0x10101010, 0x40404040, 0x40404040, 0x40404040, 0x40404040,
  ],
  16,
);

/** What codesOf says, each vector of planes loaded once. */
// @ts-ignore: decorator
@inline function open(bits: i32, opened: usize, planes: usize): void {
  const low = lowNibbles();
  const twoBits = v128.load(MASKS + <usize>((bits & 4) << 2));
  const oneBit = v128.load(MASKS + <usize>(32 + ((bits & 6) << 3)));
  const ofTwo = planes + (bits & 4 ? 256 : 0);
  const ofOne = ofTwo + (bits & 2 ? 128 : 0);
  let codes = low;
  for (let v = 0; v < 4; v++) {
    const pairs = planes + vectorAt(4 * v);
    const row = <usize>v << 4;
    const eights = bits & 1 ? v128.load(ofOne + row) : low;
    for (let $h = 0; $h < 2; $h++) {
      const fours$h = bits & 2 ? v128.load(ofTwo + row, 64 * $h) : low;
      for (let $i = 0; $i < 4; $i++) {
        if (bits & 4) {
          codes = v128.load(pairs, 32 * $i);
          codes = v128.and($h == 0 ? codes : i16x8.shr_u(codes, 4), low);
        }
        if (bits & 2) {
          const two = v128.and(moved(fours$h, 2 * $i, bits & 4), twoBits);
          codes = bits & 4 ? v128.or(codes, two) : two;
        }
        if (bits & 1) {
          const one = v128.and(moved(eights, 4 * $h + $i, bits & 6), oneBit);
          codes = bits & 6 ? v128.or(codes, one) : one;
        }
        v128.store(opened + openedAt(v, 4 * $h + $i), codes);
      }
    }
  }
}

/** The bits from bit `from` up, where those from bit `to` up were. */
// @ts-ignore: decorator
@inline function moved(bits: v128, from: i32, to: i32): v128 {
  return from < to ? i16x8.shl(bits, to - from) : i16x8.shr_u(bits, from - to);
}

/** 16 values, a byte each. */
export function openValues(bits: i32, planes: usize): v128 {
  if (bits == 8) return v128.load(planes);
  let values = i8x16.splat(0);
  if (bits & 4) {
    const pairs = v128.load64_zero(planes);
    const low = lowNibbles();
    values = v128.shuffle<i64>(v128.and(pairs, low), v128.and(i16x8.shr_u(pairs, 4), low), 0, 2);
    planes += 8;
  }
  if (bits & 2) {
    const fours = v128.load32_splat(planes);
    const low = i8x16.splat(3);
    for (let $i = 0; $i < 4; $i++) let v$i = v128.and(i16x8.shr_u(fours, 2 * $i), low);
    const twos = v128.shuffle<i64>(v128.shuffle<i32>(v0, v1, 0, 4, 0, 4), v128.shuffle<i32>(v2, v3, 0, 4, 0, 4), 0, 2);
    values = v128.or(values, i16x8.shl(twos, bits & 4));
    planes += 4;
  }
  if (bits & 1) {
    // A lane of 16 bits for each pair of values, which share the place of their bit.
    const bit = v128.and(v128.load16_splat(planes), i8x16(1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, -128, -128));
    values = v128.or(values, i16x8.shl(i8x16.neg(i8x16.ne(bit, i8x16.splat(0))), bits & 6));
  }
  return values;
}

/** Code of row r, column c of 32. */
export function codeOf(bits: i32, planes: usize, r: i32, c: i32): i32 {
  const at = ((r & 3) << 2) | (c & 3);
  return <i32>i8x16.extract_lane_u(i8x16.swizzle(codesOf(bits, planes, r >> 2, c >> 2), i8x16.splat(<i8>at)), 0);
}

/** Value i of 16. */
export function valueOf(bits: i32, planes: usize, i: i32): i32 {
  return <i32>i8x16.extract_lane_u(i8x16.swizzle(openValues(bits, planes), i8x16.splat(<i8>i)), 0);
}

/** Stores value i of 16, all bits of which are 0 before. */
export function packValue(bits: i32, planes: usize, i: i32, value: i32): void {
  for (let width = 8; width > 0; width >>= 1) {
    if ((bits & width) == 0) continue;
    const at = planes + <usize>(i & (2 * width - 1));
    const part = value & ((1 << width) - 1);
    store<u8>(at, load<u8>(at) | <u8>(part << (i / (2 * width) * width)));
    value >>= width;
    planes += valuesBytes(width);
  }
}

/** Packs columns 0-31 of rows 4v to 4v + 3, given as what is opened: vector s has columns 4s to 4s + 3. */
// @ts-ignore: decorator
@inline export function packColumns(bits: i32, planes: usize, v: i32, c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128, c7: v128): void {
  if (bits == 8) {
    for (let $s = 0; $s < 8; $s++) v128.store(planes + openedAt(v, $s), c$s);
    return;
  }
  if (bits & 4) {
    const low = lowNibbles();
    const to = planes + vectorAt(4 * v);
    v128.store(to, v128.or(v128.and(c0, low), i16x8.shl(v128.and(c4, low), 4)));
    v128.store(to, v128.or(v128.and(c1, low), i16x8.shl(v128.and(c5, low), 4)), 32);
    v128.store(to, v128.or(v128.and(c2, low), i16x8.shl(v128.and(c6, low), 4)), 64);
    v128.store(to, v128.or(v128.and(c3, low), i16x8.shl(v128.and(c7, low), 4)), 96);
    planes += 256;
  }
  if (bits & 2) {
    v128.store(planes + (<usize>v << 4), fours(c0, c1, c2, c3, bits & 4));
    v128.store(planes + (<usize>v << 4), fours(c4, c5, c6, c7, bits & 4), 64);
    planes += 128;
  }
  if (bits & 1) {
    let eights = i8x16.splat(0);
    for (let $s = 0; $s < 8; $s++) eights = v128.or(eights, i16x8.shl(v128.and(i16x8.shr_u(c$s, bits & 6), i8x16.splat(1)), $s));
    v128.store(planes + (<usize>v << 4), eights);
  }
}

/** Two bits of four codes each, which lie above their lowest `shift` bits. */
// @ts-ignore: decorator
@inline function fours(a: v128, b: v128, c: v128, d: v128, shift: i32): v128 {
  const low = i8x16.splat(3);
  const ab = v128.or(v128.and(i16x8.shr_u(a, shift), low), i16x8.shl(v128.and(i16x8.shr_u(b, shift), low), 2));
  const cd = v128.or(v128.and(i16x8.shr_u(c, shift), low), i16x8.shl(v128.and(i16x8.shr_u(d, shift), low), 2));
  return v128.or(ab, i16x8.shl(cd, 4));
}
