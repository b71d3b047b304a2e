/*
 * exp and ln in nothing but IEEE additions, multiplications and divisions. Math.exp may differ in the last bit between
 * engines, and one bit is enough to sample another token; with these, equal logits and an equal seed give equal text everywhere.
 */

const LN2_HIGH = 0.6931471803691238; // its low 21 bits are zero, so k · LN2_HIGH is exact for |k| < 2^21
const LN2_LOW = 1.9082149292705877e-10;

/** 2^-k for k = 0 … 1022, as far as doubles keep their precision; halving is exact. */
const inversePowers = new Float64Array(1023);
for (let k = 0, power = 1; k < inversePowers.length; k++, power /= 2)
	inversePowers[k] = power;

/** 1/13!, 1/12!, … 1/1!, 1/0!: the Taylor series at |r| ≤ ln 2 / 2 is then exact to 1e-17. */
const coefficients = new Float64Array(14);
for (let n = 0, factorial = 1; n <= 13; factorial *= ++n)
	coefficients[13 - n] = 1 / factorial;

/** e^x for x ≤ 0, within 2 units in the last place; 0 below -708, where doubles lose precision; NaN for NaN. */
export function exp(x: number): number {
	if (x < -708) return 0;
	const k = Math.floor(x * Math.LOG2E + 0.5);
	const r = x - k * LN2_HIGH - k * LN2_LOW;
	let sum = 0;
	for (let i = 0; i < coefficients.length; i++)
		sum = sum * r + coefficients[i]!;
	return sum * (inversePowers[-k] ?? Number.NaN);
}

/** ln x for finite x ≥ 1, within a few units in the last place: Newton's method on x · e^-y = 1. */
export function ln(x: number): number {
	let y = 0;
	for (let power = 1; power * 2 <= x; power *= 2) y += LN2_HIGH + LN2_LOW;
	// The distance d to the root becomes d²/2 per round: 0.7, 0.3, 0.05, 1e-3, 5e-7, 1e-13, 0.
	for (let round = 0; round < 7; round++) y += x * exp(-y) - 1;
	return y;
}
