// ggml's quantizers without an importance matrix, to write GGUF files for tests: f32 arithmetic, rounded after every
// operation, in the order of ggml's scalar code, so that blocks come out byte for byte.
import { IQ4_TABLE, MXFP4_TABLE } from "../src/quant/ggml-table.ts";
import { roundHalfEven } from "./quantizers.ts";

const { abs, fround: f, max, min } = Math;
const clamp = (value: number, low: number, high: number) =>
	max(low, min(high, value));
/** Below this a block counts as zeros. */
const TINY = 1e-15;

/** Quantizes one block: x holds its columns, out its bytes, zeroed. */
type Quantizer = (x: Float32Array, out: DataView) => void;

export const ggmlQuantizers: Readonly<
	Record<string, { cols: number; bytes: number; quantize: Quantizer }>
> = {
	Q4_0: { cols: 32, bytes: 18, quantize: symmetric(8, undefined) },
	Q4_1: { cols: 32, bytes: 20, quantize: affine(15, undefined) },
	Q5_0: { cols: 32, bytes: 22, quantize: symmetric(16, 2) },
	Q5_1: { cols: 32, bytes: 24, quantize: affine(31, 4) },
	Q8_0: { cols: 32, bytes: 34, quantize: q8 },
	Q2_K: { cols: 256, bytes: 84, quantize: q2k },
	Q3_K: { cols: 256, bytes: 110, quantize: q3k },
	Q4_K: { cols: 256, bytes: 144, quantize: affineK(15, -1, 20, undefined) },
	Q5_K: { cols: 256, bytes: 176, quantize: affineK(31, -0.5, 15, 16) },
	Q6_K: { cols: 256, bytes: 210, quantize: q6k },
	IQ4_NL: { cols: 32, bytes: 18, quantize: iq4nl },
	IQ4_XS: { cols: 256, bytes: 136, quantize: iq4xs },
	MXFP4: { cols: 32, bytes: 17, quantize: mxfp4 },
	TQ1_0: { cols: 256, bytes: 54, quantize: tq1 },
	TQ2_0: { cols: 256, bytes: 66, quantize: tq2 },
};

/** A matrix in blocks; its rows are whole numbers of them. */
export function quantizeGgml(type: string, values: Float32Array): Uint8Array {
	const { cols, bytes, quantize } = ggmlQuantizers[type]!;
	const out = new Uint8Array((values.length / cols) * bytes);
	for (let i = 0; i * cols < values.length; i++) {
		const block = new DataView(out.buffer, i * bytes, bytes);
		quantize(values.subarray(i * cols, (i + 1) * cols), block);
	}
	return out;
}

/** Bits of the f16 next to a value, ties to even. */
export function f16Bits(value: number): number {
	const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
	const size = abs(value);
	if (size >= 65520) return sign | 0x7c00;
	const exponent = max(Math.floor(Math.log2(size || 2 ** -30)), -14);
	const mantissa = roundHalfEven(size / 2 ** (exponent - 10));
	// a mantissa of 2048 carries into the exponent by itself
	return sign | (mantissa + ((exponent + 14) << 10));
}

/** The element of largest magnitude, with its sign; the first one of several. */
function extreme(x: Float32Array): number {
	let found = 0;
	for (const value of x) if (abs(value) > abs(found)) found = value;
	return found;
}

function symmetric(half: number, highAt: number | undefined): Quantizer {
	return (x, out) => {
		const d = f(extreme(x) / -half);
		const inverse = d ? f(1 / d) : 0;
		out.setUint16(0, f16Bits(d), true);
		const code = (v: number) =>
			min(2 * half - 1, Math.trunc(f(f(v * inverse) + (half + 0.5))));
		storeSplit(x, code, out, out.byteLength - 16, highAt);
	};
}

function affine(most: number, highAt: number | undefined): Quantizer {
	return (x, out) => {
		const low = x.reduce((a, b) => min(a, b));
		const high = x.reduce((a, b) => max(a, b));
		const d = f(f(high - low) / most);
		const inverse = d ? f(1 / d) : 0;
		out.setUint16(0, f16Bits(d), true);
		out.setUint16(2, f16Bits(low), true);
		const code = (v: number) =>
			min(most, Math.trunc(f(f(f(v - low) * inverse) + 0.5)));
		storeSplit(x, code, out, out.byteLength - 16, highAt);
	};
}

/** Low nibbles for columns 0 to 15, high ones for 16 to 31, and the fifth bits where there are any. */
function storeSplit(
	x: ArrayLike<number>,
	code: (value: number) => number,
	out: DataView,
	at: number,
	highAt?: number,
): void {
	let high = 0;
	for (let k = 0; k < 32; k++) {
		const u = code(x[k]!);
		const byte = at + (k & 15);
		const nibble = (u & 15) << (k < 16 ? 0 : 4);
		out.setUint8(byte, out.getUint8(byte) | nibble);
		high |= (u >> 4) << k;
	}
	if (highAt !== undefined) out.setUint32(highAt, high >>> 0, true);
}

function roundHalfAway(value: number): number {
	return Math.sign(value) * Math.floor(abs(value) + 0.5);
}

function q8(x: Float32Array, out: DataView): void {
	const d = f(abs(extreme(x)) / 127);
	const inverse = d ? f(1 / d) : 0;
	out.setUint16(0, f16Bits(d), true);
	for (const [k, v] of x.entries()) {
		out.setInt8(2 + k, roundHalfAway(f(v * inverse)));
	}
}

/** Scale and offset (−minimum) of x ≈ scale · code − offset, and the codes 0 … most. */
function searchAffine(
	x: Float32Array,
	most: number,
	weights: Float32Array,
	start: number,
	steps: number,
	squared: boolean,
): { scale: number; offset: number; codes: Uint8Array } {
	const n = x.length;
	let sumW = 0;
	let sumX = 0;
	let low = 0;
	let high = x[0]!;
	for (let i = 0; i < n; i++) {
		sumW = f(sumW + weights[i]!);
		sumX = f(sumX + f(weights[i]! * x[i]!));
		low = min(low, x[i]!);
		high = max(high, x[i]!);
	}
	const codes = new Uint8Array(n);
	if (high === low) return { scale: 0, offset: -low, codes };
	const own = new Uint8Array(n);
	const assign = (inverse: number) => {
		for (let i = 0; i < n; i++) {
			own[i] = clamp(roundHalfEven(f(inverse * f(x[i]! - low))), 0, most);
		}
	};
	const error = (scale: number, least: number) => {
		let sum = 0;
		for (let i = 0; i < n; i++) {
			const e = f(f(f(scale * own[i]!) + least) - x[i]!);
			sum = f(sum + f(weights[i]! * (squared ? f(e * e) : abs(e))));
		}
		return sum;
	};
	const inverse = f(most / f(high - low));
	let scale = f(1 / inverse);
	assign(inverse);
	codes.set(own);
	let best = error(scale, low);
	for (let t = 0; t <= steps; t++) {
		const numerator = f(f(f(start) + f(f(0.1) * t)) + most);
		assign(f(numerator / f(high - low)));
		let sumL = 0;
		let sumLL = 0;
		let sumLX = 0;
		for (let i = 0; i < n; i++) {
			const wl = f(weights[i]! * own[i]!);
			sumL = f(sumL + wl);
			sumLL = f(sumLL + f(wl * own[i]!));
			sumLX = f(sumLX + f(wl * x[i]!));
		}
		const determinant = f(f(sumW * sumLL) - f(sumL * sumL));
		if (!(determinant > 0)) continue;
		let ownScale = f(f(f(sumW * sumLX) - f(sumX * sumL)) / determinant);
		let least = f(f(f(sumLL * sumX) - f(sumL * sumLX)) / determinant);
		if (least > 0) {
			least = 0;
			ownScale = f(sumLX / sumLL);
		}
		const ownError = error(ownScale, least);
		if (ownError >= best) continue;
		codes.set(own);
		best = ownError;
		scale = ownScale;
		low = least; // later steps search from here
	}
	return { scale, offset: -low, codes };
}

interface Symmetric {
	readonly scale: number;
	/** Codes from 0; they count where the scale becomes 0 when it is itself quantized. */
	readonly codes: Uint8Array;
}

/** x ≈ scale · (code − most), codes 0 … 2·most − 1, weighted by x². */
function searchSymmetric(x: Float32Array, most: number): Symmetric {
	const peak = extreme(x);
	const codes = new Uint8Array(x.length);
	if (abs(peak) < TINY) return { scale: 0, codes };
	const codeOf = (v: number, inverse: number) =>
		clamp(roundHalfEven(f(inverse * v)), -most, most - 1);
	const sums = (inverse: number): [lx: number, ll: number] => {
		let lx = 0;
		let ll = 0;
		for (const v of x) {
			const l = codeOf(v, inverse);
			const w = f(v * v);
			lx = f(lx + f(f(w * v) * l));
			ll = f(ll + f(f(w * l) * l));
		}
		return [lx, ll];
	};
	let kept = f(-most / peak);
	let [lx, ll] = sums(kept);
	let scale = ll > 0 ? f(lx / ll) : 0;
	let best = f(scale * lx);
	for (let t = -9; t <= 9; t++) {
		if (t === 0) continue;
		const inverse = f(-f(most + f(f(0.1) * t)) / peak);
		[lx, ll] = sums(inverse);
		if (ll > 0 && f(lx * lx) > f(best * ll)) {
			kept = inverse;
			scale = f(lx / ll);
			best = f(scale * lx);
		}
	}
	return { scale, codes: codes.map((_, i) => codeOf(x[i]!, kept) + most) };
}

/** Runs of `size` columns. */
function groupsOf(x: Float32Array, size: number): Float32Array[] {
	return Array.from({ length: x.length / size }, (_, j) =>
		x.subarray(j * size, (j + 1) * size),
	);
}

/** 2-bit codes as Q2_K, Q3_K and TQ2_0 keep them. */
function store2(codes: ArrayLike<number>, out: DataView, at: number): void {
	for (let k = 0; k < 256; k++) {
		const byte = at + 32 * (k >> 7) + (k & 31);
		const shift = 2 * ((k >> 5) & 3);
		out.setUint8(byte, out.getUint8(byte) | (codes[k]! << shift));
	}
}

function q2k(x: Float32Array, out: DataView): void {
	const found = groupsOf(x, 16).map((group) =>
		searchAffine(group, 3, group.map(abs), -0.5, 15, false),
	);
	const codes = new Uint8Array(256);
	for (const [j, group] of found.entries()) codes.set(group.codes, 16 * j);
	const part = (values: number[], at: number, shift: number) => {
		const most = max(0, ...values);
		if (!(most > 0)) return;
		const inverse = f(15 / most);
		for (const [j, value] of values.entries()) {
			const l = roundHalfEven(f(inverse * value)) << shift;
			out.setUint8(j, out.getUint8(j) | l);
		}
		out.setUint16(at, f16Bits(f(most / 15)), true);
	};
	part(
		found.map((g) => g.scale),
		80,
		0,
	);
	part(
		found.map((g) => g.offset),
		82,
		4,
	);
	const d = f16Of(out, 80);
	const dmin = f16Of(out, 82);
	for (let j = 0; j < 16; j++) {
		const sc = out.getUint8(j);
		const step = f(d * (sc & 15));
		if (!step) continue;
		const offset = f(dmin * (sc >> 4));
		for (let k = 16 * j; k < 16 * (j + 1); k++) {
			codes[k] = clamp(roundHalfEven(f(f(x[k]! + offset) / step)), 0, 3);
		}
	}
	store2(codes, out, 16);
}

function f16Of(out: DataView, at: number): number {
	const bits = out.getUint16(at, true);
	const exponent = (bits >> 10) & 31;
	const mantissa = bits & 1023;
	const size = exponent
		? (1024 + mantissa) * 2 ** (exponent - 25)
		: mantissa * 2 ** -24;
	return bits & 0x8000 ? -size : size;
}

/** x ≈ scale · (code − 4), codes 0 … 7: coordinate descent on the codes. */
function searchQ3(x: Float32Array): Symmetric {
	const peak = extreme(x);
	if (abs(peak) < TINY) return { scale: 0, codes: new Uint8Array(x.length) };
	const inverse = f(-4 / peak);
	const codes = x.map((v) => clamp(roundHalfEven(f(inverse * v)), -4, 3));
	let lx = 0;
	let ll = 0;
	for (const [i, v] of x.entries()) {
		const w = f(v * v);
		lx = f(lx + f(f(w * v) * codes[i]!));
		ll = f(ll + f(f(w * codes[i]!) * codes[i]!));
	}
	for (let pass = 0, changed = true; pass < 5 && changed; pass++) {
		changed = false;
		for (const [i, v] of x.entries()) {
			const w = f(v * v);
			const l = codes[i]!;
			let a = f(lx - f(f(w * v) * l));
			if (!(a > 0)) continue;
			let b = f(ll - f(f(w * l) * l));
			const next = clamp(roundHalfEven(f(f(v * b) / a)), -4, 3);
			if (next === l) continue;
			a = f(a + f(f(w * v) * next));
			b = f(b + f(f(w * next) * next));
			if (b > 0 && f(f(a * a) * ll) > f(f(lx * lx) * b)) {
				codes[i] = next;
				lx = a;
				ll = b;
				changed = true;
			}
		}
	}
	return { scale: f(lx / ll), codes: Uint8Array.from(codes, (l) => l + 4) };
}

function q3k(x: Float32Array, out: DataView): void {
	const found = groupsOf(x, 16).map(searchQ3);
	const scales = Float32Array.from(found, (group) => group.scale);
	const peak = extreme(scales);
	const sixes = new Uint8Array(16);
	if (peak) {
		const inverse = f(-32 / peak);
		for (const [j, scale] of scales.entries()) {
			sixes[j] = clamp(roundHalfEven(f(inverse * scale)), -32, 31) + 32;
			const low = 96 + (j & 7);
			const nibble = (sixes[j]! & 15) << (j < 8 ? 0 : 4);
			out.setUint8(low, out.getUint8(low) | nibble);
			const high = 104 + (j & 3);
			const two = (sixes[j]! >> 4) << (2 * (j >> 2));
			out.setUint8(high, out.getUint8(high) | two);
		}
		out.setUint16(108, f16Bits(f(1 / inverse)), true);
	}
	const d = f16Of(out, 108);
	const codes = new Uint8Array(256);
	for (let k = 0; k < 256; k++) {
		const step = f(d * (sixes[k >> 4]! - 32));
		const u = step
			? clamp(roundHalfEven(f(x[k]! / step)), -4, 3) + 4
			: found[k >> 4]!.codes[k & 15]!;
		if (u > 3) out.setUint8(k & 31, out.getUint8(k & 31) | (1 << (k >> 5)));
		codes[k] = u & 3;
	}
	store2(codes, out, 32);
}

function affineK(
	most: number,
	start: number,
	steps: number,
	highAt: number | undefined,
): Quantizer {
	return (x, out) => {
		const found = groupsOf(x, 32).map((group) => {
			const squares = group.reduce((sum, v) => f(sum + f(v * v)), 0);
			const mean = f(Math.sqrt(f(squares / 32)));
			const weights = group.map((v) => f(mean + abs(v)));
			return searchAffine(group, most, weights, start, steps, true);
		});
		const maxScale = max(0, ...found.map((g) => g.scale));
		const maxOffset = max(0, ...found.map((g) => g.offset));
		const sixOf = (value: number, peak: number) =>
			peak > 0 ? min(63, roundHalfEven(f(f(63 / peak) * value))) : 0;
		const s = found.map((g) => sixOf(g.scale, maxScale));
		const m = found.map((g) => sixOf(g.offset, maxOffset));
		for (let j = 0; j < 4; j++) {
			out.setUint8(4 + j, s[j]! | ((s[j + 4]! >> 4) << 6));
			out.setUint8(8 + j, m[j]! | ((m[j + 4]! >> 4) << 6));
			out.setUint8(12 + j, (s[j + 4]! & 15) | ((m[j + 4]! & 15) << 4));
		}
		out.setUint16(0, f16Bits(f(maxScale / 63)), true);
		out.setUint16(2, f16Bits(f(maxOffset / 63)), true);
		const d = f16Of(out, 0);
		const dmin = f16Of(out, 2);
		for (let k = 0; k < 256; k++) {
			const j = k >> 5;
			const step = f(d * s[j]!);
			const offset = f(dmin * m[j]!);
			const u = step
				? clamp(roundHalfEven(f(f(x[k]! + offset) / step)), 0, most)
				: found[j]!.codes[k & 31]!;
			const byte = out.byteLength - 128 + 32 * (k >> 6) + (k & 31);
			const nibble = (u & 15) << (k & 32 ? 4 : 0);
			out.setUint8(byte, out.getUint8(byte) | nibble);
			if (highAt === undefined || u < 16) continue;
			const bits = highAt + (k & 31);
			out.setUint8(bits, out.getUint8(bits) | (1 << j));
		}
	};
}

function q6k(x: Float32Array, out: DataView): void {
	const found = groupsOf(x, 16).map((group) => searchSymmetric(group, 32));
	const scales = Float32Array.from(found, (group) => group.scale);
	const peak = extreme(scales);
	if (abs(peak) < TINY) return;
	const inverse = f(-128 / peak);
	out.setUint16(208, f16Bits(f(1 / inverse)), true);
	const d = f16Of(out, 208);
	for (const [j, scale] of scales.entries()) {
		out.setInt8(192 + j, min(127, roundHalfEven(f(inverse * scale))));
	}
	for (let k = 0; k < 256; k++) {
		const step = f(d * out.getInt8(192 + (k >> 4)));
		const u = step
			? clamp(roundHalfEven(f(x[k]! / step)), -32, 31) + 32
			: found[k >> 4]!.codes[k & 15]!;
		const [half, quarter, column] = [k >> 7, (k >> 5) & 3, k & 31];
		const low = 64 * half + 32 * (quarter & 1) + column;
		const nibble = (u & 15) << (quarter < 2 ? 0 : 4);
		out.setUint8(low, out.getUint8(low) | nibble);
		const high = 128 + 32 * half + column;
		out.setUint8(high, out.getUint8(high) | ((u >> 4) << (2 * quarter)));
	}
}

/** Index of the level of IQ4's table next to a value; the upper one of two. */
function nearestLevel(value: number): number {
	if (value >= IQ4_TABLE[15]!) return 15;
	if (value < IQ4_TABLE[0]!) return 0;
	let upper = 0; // the first level above the value
	for (let step = 8; step > 0; step >>= 1) {
		if (value >= IQ4_TABLE[upper + step - 1]!) upper += step;
	}
	const lower = f(value - IQ4_TABLE[upper - 1]!);
	return lower < f(IQ4_TABLE[upper]! - value) ? upper - 1 : upper;
}

function searchIq4(x: Float32Array): number {
	const peak = extreme(x);
	if (abs(peak) < TINY) return 0;
	const sums = (inverse: number): [qx: number, qq: number] => {
		let qx = 0;
		let qq = 0;
		for (let i = 0; i < x.length; i++) {
			const v = x[i]!;
			const q = IQ4_TABLE[nearestLevel(f(inverse * v))]!;
			const wq = f(f(v * v) * q);
			qx = f(qx + f(wq * v));
			qq = f(qq + f(wq * q));
		}
		return [qx, qq];
	};
	let [qx, qq] = sums(f(1 / f(-peak / -127)));
	let scale = f(qx / qq);
	let best = f(scale * qx);
	for (let t = -7; t <= 7; t++) {
		[qx, qq] = sums(f((t - 127) / peak));
		if (qq > 0 && f(qx * qx) > f(best * qq)) {
			scale = f(qx / qq);
			best = f(scale * qx);
		}
	}
	return scale;
}

function iq4nl(x: Float32Array, out: DataView): void {
	const scale = searchIq4(x);
	const inverse = scale ? f(1 / scale) : 0;
	out.setUint16(0, f16Bits(scale), true);
	storeSplit(x, (v) => nearestLevel(f(inverse * v)), out, 2);
}

function iq4xs(x: Float32Array, out: DataView): void {
	const groups = groupsOf(x, 32);
	const scales = Float32Array.from(groups, searchIq4);
	const d = f(-extreme(scales) / 32);
	const inverse = d ? f(1 / d) : 0;
	out.setUint16(0, f16Bits(d), true);
	let high = 0;
	for (const [j, group] of groups.entries()) {
		const s = clamp(roundHalfEven(f(inverse * scales[j]!)), -32, 31);
		const step = f(d * s);
		const own = step ? f(1 / step) : 0;
		const six = s + 32;
		const low = 4 + (j >> 1);
		out.setUint8(low, out.getUint8(low) | ((six & 15) << (4 * (j & 1))));
		high |= (six >> 4) << (2 * j);
		storeSplit(group, (v) => nearestLevel(f(own * v)), out, 8 + 16 * j);
	}
	out.setUint16(2, high, true);
}

function mxfp4(x: Float32Array, out: DataView): void {
	const peak = abs(extreme(x));
	const e = peak > 0 ? Math.floor(Math.log2(peak)) + 125 : 0;
	const d = 2 ** (e - 128);
	out.setUint8(0, e);
	const code = (v: number) => {
		let found = 0;
		const distance = (i: number) => abs(f(f(MXFP4_TABLE[i]! * d) - v));
		for (let i = 1; i < 16; i++) if (distance(i) < distance(found)) found = i;
		return found;
	};
	storeSplit(x, code, out, 1);
}

function trits(x: Float32Array): { d: number; codes: number[] } {
	const d = abs(extreme(x));
	const inverse = d ? f(1 / d) : 0;
	return { d, codes: Array.from(x, (v) => roundHalfAway(f(v * inverse)) + 1) };
}

function tq2(x: Float32Array, out: DataView): void {
	const { d, codes } = trits(x);
	store2(codes, out, 0);
	out.setUint16(64, f16Bits(d), true);
}

function tq1(x: Float32Array, out: DataView): void {
	const { d, codes } = trits(x);
	out.setUint16(52, f16Bits(d), true);
	for (const [first, run, count, column] of [
		[0, 32, 5, 0],
		[32, 16, 5, 160],
		[48, 4, 4, 240],
	] as const) {
		for (let i = 0; i < run; i++) {
			let value = 0;
			for (let n = 0; n < 5; n++) {
				value = 3 * value + (n < count ? codes[column + run * n + i]! : 0);
			}
			out.setUint8(first + i, Math.floor((256 * value + 242) / 243));
		}
	}
}
