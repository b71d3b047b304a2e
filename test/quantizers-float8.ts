// Rounding to floats of 8 bits, to write checkpoints for tests.

/** Values that are not negative, by code: fraction bits, the exponent's bias, and how many codes are finite. */
const valuesOf = (fraction: number, bias: number, codes: number) =>
	Float32Array.from({ length: codes }, (_, bits) => {
		const exponent = bits >> fraction;
		const part = (bits & (2 ** fraction - 1)) / 2 ** fraction;
		return exponent === 0
			? part * 2 ** (1 - bias)
			: (1 + part) * 2 ** (exponent - bias);
	});

/** E4M3's last code is NaN, E5M2's last four are infinity and NaN. */
const FLOAT8 = {
	F8_E4M3: valuesOf(3, 7, 127),
	F8_E5M2: valuesOf(2, 15, 124),
};

export type Float8 = keyof typeof FLOAT8;

/** Codes of the nearest values, ties to the even code; what is too large becomes the largest. */
export function float8(w: Float32Array, type: Float8): Uint8Array {
	const values = FLOAT8[type];
	const codes = new Uint8Array(w.length);
	for (let i = 0; i < w.length; i++) {
		const value = w[i]!;
		const size = Math.abs(value);
		let [low, high] = [0, values.length - 1];
		if (size >= values[high]!) low = high;
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if (values[middle]! <= size) low = middle;
			else high = middle;
		}
		const nearer = size - values[low]! - (values[high]! - size);
		const isHigh = nearer > 0 || (nearer === 0 && low % 2 === 1);
		codes[i] = (isHigh ? high : low) + (value < 0 ? 128 : 0);
	}
	return codes;
}
