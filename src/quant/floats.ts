// Number formats that weights and scales are stored in, widened to f32 exactly, and rounding to them.
//
//   F64      s e×11 m×52
//   F32      s e×8  m×23
//   F16      s e×5  m×10   bias 15
//   BF16     s e×8  m×7    the upper half of an F32
//   F8_E5M2  s e×5  m×2    the upper half of an F16
//   F8_E4M3  s e×4  m×3    bias 7, no infinities: s1111111 is NaN, the largest value is 448

/** A number format: bytes of one value, and how to read it at a byte offset. */
interface Float {
	readonly bytes: number;
	readonly read: (view: DataView, at: number) => number;
}

/** Float formats by the names that containers use. F64 is the only one that f32 cannot hold: it is rounded. */
export const floats: Readonly<Record<string, Float>> = {
	F64: { bytes: 8, read: (view, at) => Math.fround(view.getFloat64(at, true)) },
	F32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
	F16: { bytes: 2, read: (view, at) => f16(view.getUint16(at, true)) },
	BF16: { bytes: 2, read: (view, at) => bf16(view.getUint16(at, true)) },
	F8_E5M2: { bytes: 1, read: (view, at) => f16(view.getUint8(at) << 8) },
	F8_E4M3: { bytes: 1, read: (view, at) => f8e4m3(view.getUint8(at)) },
};

/** The value of f16 bits, exact, denormals included. */
export function f16(bits: number): number {
	const sign = bits & 0x8000 ? -1 : 1;
	const exponent = (bits >> 10) & 31;
	const mantissa = bits & 1023;
	if (exponent === 31) return mantissa ? Number.NaN : sign * Infinity;
	return exponent === 0
		? sign * mantissa * 2 ** -24
		: sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** The value of bf16 bits. */
export function bf16(bits: number): number {
	word[0] = bits << 16;
	return single[0]!;
}

function f8e4m3(bits: number): number {
	const sign = bits & 0x80 ? -1 : 1;
	const exponent = (bits >> 3) & 15;
	const mantissa = bits & 7;
	if (exponent === 15 && mantissa === 7) return Number.NaN;
	return exponent === 0
		? sign * mantissa * 2 ** -9
		: sign * (8 + mantissa) * 2 ** (exponent - 10);
}

/** All values of `bytes` in float format `type`. */
export function widen(type: string, bytes: Uint8Array): Float32Array {
	const { bytes: size, read } = floats[type]!;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const values = new Float32Array(bytes.length / size);
	for (let i = 0; i < values.length; i++) values[i] = read(view, i * size);
	return values;
}

/** What a scheme's arithmetic is done in: every decoded weight is rounded to it. */
export type Precision = "F32" | "F16" | "BF16";

/** Rounding of f32 values to the nearest value of a format, ties to even. */
export const roundTo: Readonly<Record<Precision, (value: number) => number>> = {
	F32: Math.fround,
	F16: (value) => {
		const magnitude = Math.abs(value);
		if (!(magnitude < 65520))
			return magnitude >= 65520 ? value * Infinity : value;
		// f16 values are multiples of 2^(e-10) in [2^e, 2^(e+1)), and of 2^-24 below 2^-14
		const exponent = Math.max(Math.floor(Math.log2(magnitude)), -14);
		const step = 2 ** (exponent - 10);
		return roundHalfEven(value / step) * step;
	},
	BF16: (value) => {
		single[0] = value;
		const bits = word[0]!;
		if (Number.isNaN(value)) return value;
		word[0] = bits + 0x7fff + ((bits >>> 16) & 1);
		word[0] = word[0]! & 0xffff0000;
		return single[0]!;
	},
};

function roundHalfEven(value: number): number {
	const floor = Math.floor(value);
	const rest = value - floor;
	if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
	return floor % 2 === 0 ? floor : floor + 1;
}
