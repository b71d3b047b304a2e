/** Value of an IEEE binary16 given by its bits. */
export function halfToFloat(bits: number): number {
	const sign = bits & 0x8000 ? -1 : 1;
	const exponent = (bits >> 10) & 31;
	const fraction = bits & 1023;
	if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
	if (exponent === 0) return sign * fraction * 2 ** -24;
	return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Bits of the nearest binary16, ties to even. */
export function floatToHalf(value: number): number {
	const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
	const size = Math.abs(value);
	if (Number.isNaN(value)) return 0x7e00;
	if (size >= 65520) return sign | 0x7c00;
	const exponent = Math.max(Math.floor(Math.log2(size)), -14);
	const step = 2 ** (exponent - 10);
	const scaled = size / step;
	let units = Math.round(scaled);
	if (units - scaled === 0.5 && units % 2 === 1) units--;
	// units counts from 0 at exponent −14 and from 1024 above it, so a carry moves into the next exponent by itself.
	return sign | (units + (exponent + 14) * 1024);
}

/** One number, and its bits. */
const single = new Float32Array(1);
const word = new Uint32Array(single.buffer);

/** Value of a bfloat16 given by its bits. */
export function brainToFloat(bits: number): number {
	word[0] = bits << 16;
	return single[0]!;
}

/** Bits of the nearest bfloat16, ties to even. */
export function floatToBrain(value: number): number {
	single[0] = value;
	const bits = word[0]!;
	if (Number.isNaN(value)) return 0x7fc0;
	return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
