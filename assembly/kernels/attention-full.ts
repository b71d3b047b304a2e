import { multiplyColumns, packColumns } from "../float32";
import { SPARE_ROWS } from "../int8-tiles";
import { exp2, madd, sumOfLanes } from "../simd";
import { finish, LOG2E } from "../attend";
import { PANEL, padded } from "../pages";
import { RESULT_BYTES, ROWS } from "../tile";
import { F32, Scratch } from "../types";

// Attention without a cache, as two products of matrices per head, over 64 keys after another:
//
//   scores[144, 64] = q · kᵀ        keys are the rows of a weight matrix, in tiles of 16
//   p = 2^(scores · scale − m)      online softmax: m = the highest score so far, l = Σ p (../attend.ts says it at length)
//   acc[144, d]    += p · v         the channels of values are the rows of one, in panels of 16
//
//   part      bytes                 content, in a part's scratch memory
//   states    TILE · 32             per row [l: 4 lanes][m]
//   weights   TILE · 256            p, row after row
//   scores    4 · PANEL_BYTES       per tile of keys [row][16]
//   keys      64 · d · 4            4 tiles [d][16]
//   values    64 · dp · 4           dp / 16 panels [64][16], dp = d rounded up to 16
//   acc       dp / 16 · PANEL_BYTES per panel of channels [row][16]

/** Rows of a unit: a multiple of the rows of a register tile. ATTENTION_FULL_TILE in src/engine/layouts.ts. */
const TILE: i32 = 144;
/** Keys that are attended to at a time. */
const KEYS: i32 = 64;
const STATE_BYTES: usize = 32;
const WEIGHTS_BYTES: usize = <usize>KEYS * 4;
/** Sixteen columns of a tile's results. */
const PANEL_BYTES: usize = <usize>(TILE + SPARE_ROWS) * RESULT_BYTES;

// @ts-ignore: decorator
@inline function weightsAt(scratch: usize): usize {
  return scratch + <usize>TILE * STATE_BYTES;
}

// @ts-ignore: decorator
@inline function scoresAt(scratch: usize): usize {
  return weightsAt(scratch) + <usize>TILE * WEIGHTS_BYTES;
}

// @ts-ignore: decorator
@inline function keysAt(scratch: usize): usize {
  return scoresAt(scratch) + <usize>(KEYS / ROWS) * PANEL_BYTES;
}

// @ts-ignore: decorator
@inline function valuesAt(scratch: usize, d: i32): usize {
  return keysAt(scratch) + <usize>(KEYS * d) * 4;
}

// @ts-ignore: decorator
@inline function accAt(scratch: usize, d: i32): usize {
  return valuesAt(scratch, d) + <usize>(KEYS * padded(d)) * 4;
}

/**
 * y[t, h] = Σ_s softmax_s(q[t, h] · k[s, h] · scale) · v[s, h]: every row sees every row; all are [rows, heads, d]. Units
 * are heads × tiles of 144 rows: neighbours read the same keys and values.
 */
export function attention_full_f32(y: F32, q: F32, k: F32, v: F32, rows: i32, heads: i32, d: i32, scale: f32, scratch: Scratch, lo: i32, hi: i32): void {
  const rowBytes = <usize>(heads * d) << 2;
  const panels = padded(d) / PANEL;
  const tiles = (rows + TILE - 1) / TILE;
  for (let u = lo; u < hi; u++) {
    const head = <usize>(u / tiles * d) << 2;
    const start = u % tiles * TILE;
    const count = min(TILE, rows - start);
    const at = <usize>start * rowBytes + head;
    open(scratch, count, panels, d);
    for (let s = 0; s < rows; s += KEYS) {
      const keys = min(KEYS, rows - s);
      const from = <usize>s * rowBytes + head;
      for (let i = 0; i < keys; i += ROWS) {
        const tile = keysAt(scratch) + <usize>(i * d) * 4;
        const scores = scoresAt(scratch) + <usize>(i / ROWS) * PANEL_BYTES;
        packColumns(tile, k + from + <usize>i * rowBytes, rowBytes, keys - i, d);
        memory.fill(scores, 0, <usize>count * RESULT_BYTES);
        multiplyColumns(scores, tile, q + at, rowBytes, count, d);
      }
      soften(scratch, count, panels, keys, d, scale * LOG2E);
      packValues(valuesAt(scratch, d), v + from, rowBytes, keys, d);
      for (let c = 0; c < panels; c++) {
        const panel = valuesAt(scratch, d) + <usize>(c * KEYS) * RESULT_BYTES;
        multiplyColumns(accAt(scratch, d) + <usize>c * PANEL_BYTES, panel, weightsAt(scratch), WEIGHTS_BYTES, count, keys, d - c * PANEL > 8 ? 2 : 1);
      }
    }
    for (let t = 0; t < count; t++) {
      const row = y + at + <usize>t * rowBytes;
      const acc = accAt(scratch, d) + <usize>t * RESULT_BYTES;
      for (let j = 0; j < d; j++) store<f32>(row + (<usize>j << 2), load<f32>(acc + <usize>(j / PANEL) * PANEL_BYTES + (<usize>(j % PANEL) << 2)));
      finish(row, sumOfLanes(v128.load(scratch + <usize>t * STATE_BYTES)), d);
    }
  }
}

/** Forgets all keys. */
function open(scratch: usize, count: i32, panels: i32, d: i32): void {
  for (let t = 0; t < count; t++) {
    const state = scratch + <usize>t * STATE_BYTES;
    v128.store(state, f32x4.splat(0));
    store<f32>(state, -Infinity, 16);
  }
  memory.fill(accAt(scratch, d), 0, <usize>panels * PANEL_BYTES);
}

/** Turns the scores of all rows at `keys` keys into weights, updates m and l, and shrinks what was summed up under a lower m. */
function soften(scratch: usize, count: i32, panels: i32, keys: i32, d: i32, scale: f32): void {
  const factor = f32x4.splat(scale);
  for (let t = 0; t < count; t++) {
    const state = scratch + <usize>t * STATE_BYTES;
    const scores = scoresAt(scratch) + <usize>t * RESULT_BYTES;
    const p = weightsAt(scratch) + <usize>t * WEIGHTS_BYTES;
    for (let i = keys; i < ((keys + ROWS - 1) & ~(ROWS - 1)); i++) store<f32>(scores + <usize>(i / ROWS) * PANEL_BYTES + (<usize>(i % ROWS) << 2), -Infinity);

    for (let $v = 0; $v < 4; $v++) let high$v = f32x4.splat(-Infinity);
    for (let i = 0, from = scores; i < keys; i += ROWS, from += PANEL_BYTES) {
      for (let $v = 0; $v < 4; $v++) high$v = f32x4.pmax(high$v, v128.load(from, 16 * $v));
    }
    let high = f32x4.pmax(f32x4.pmax(high0, high1), f32x4.pmax(high2, high3));
    high = f32x4.pmax(high, i32x4.shuffle(high, high, 2, 3, 2, 3));
    high = f32x4.pmax(high, i32x4.shuffle(high, high, 1, 1, 1, 1));
    const found = f32x4.extract_lane(high, 0) * scale;
    const before = load<f32>(state, 16);
    const m = found > before ? found : before;
    const shift = f32x4.splat(m == -Infinity ? 0 : -m);
    if (found > before) {
      const shrink = exp2(f32x4.add(f32x4.splat(before), shift));
      store<f32>(state, m, 16);
      v128.store(state, f32x4.mul(v128.load(state), shrink));
      let acc = accAt(scratch, d) + <usize>t * RESULT_BYTES;
      for (let c = 0; c < panels; c++, acc += PANEL_BYTES) {
        for (let $v = 0; $v < 4; $v++) v128.store(acc, f32x4.mul(v128.load(acc, 16 * $v), shrink), 16 * $v);
      }
    }

    let sum0 = v128.load(state);
    let sum1 = f32x4.splat(0);
    for (let i = 0, from = scores, to = p; i < keys; i += ROWS, from += PANEL_BYTES, to += RESULT_BYTES) {
      for (let $v = 0; $v < 4; $v++) {
        let e$v = exp2(madd(v128.load(from, 16 * $v), factor, shift));
        v128.store(to, e$v, 16 * $v);
      }
      sum0 = f32x4.add(sum0, f32x4.add(e0, e1));
      sum1 = f32x4.add(sum1, f32x4.add(e2, e3));
    }
    v128.store(state, f32x4.add(sum0, sum1));
  }
}

/** Panels of 16 channels of `keys` values that lie `rowBytes` apart; channels past d are 0. */
function packValues(to: usize, v: usize, rowBytes: usize, keys: i32, d: i32): void {
  for (let s = 0; s < keys; s++, v += rowBytes, to += RESULT_BYTES) {
    let panel = to;
    let j: i32 = 0;
    for (; j + PANEL <= d; j += PANEL, panel += <usize>KEYS * RESULT_BYTES) {
      for (let $v = 0; $v < 4; $v++) v128.store(panel, v128.load(v + (<usize>j << 2), 16 * $v), 16 * $v);
    }
    if (j == d) continue;
    for (let $v = 0; $v < 4; $v++) v128.store(panel, f32x4.splat(0), 16 * $v);
    for (; j < d; j++, panel += 4) store<f32>(panel, load<f32>(v + (<usize>j << 2)));
  }
}
