/** A stream of uniform numbers in [0, 1) with 53 random bits each. */
export type Random = () => number;

/** Mixes a counter into 32 well-distributed bits (the finalizer of MurmurHash3 over a Weyl sequence). */
function splitmix32(state: number): () => number {
	let s = state;
	return () => {
		s = (s + 0x9e3779b9) | 0;
		let z = s;
		z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
		z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
		return (z ^ (z >>> 16)) >>> 0;
	};
}

const rotateLeft = (x: number, k: number) => (x << k) | (x >>> (32 - k));

/** xoshiro128** 1.1 by Blackman and Vigna: 32 random bits per call, period 2^128 - 1. The state must not be all zero. */
export function xoshiro128(
	state: readonly [number, number, number, number],
): () => number {
	let [a, b, c, d] = state;
	return () => {
		const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
		const shifted = b << 9;
		c ^= a;
		d ^= b;
		b ^= c;
		a ^= d;
		c ^= shifted;
		d = rotateLeft(d, 11);
		return result;
	};
}

/** The generator behind `seed`, an integer in [0, 2^53): the same seed gives the same numbers in every runtime and version. */
export function seededRandom(seed: number): Random {
	const low = splitmix32(seed | 0);
	const high = splitmix32(Math.floor(seed / 2 ** 32));
	// `| 1` keeps the state off the one forbidden value.
	const next = xoshiro128([low(), high(), low() | 1, high()]);
	return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

/**
 * A seed nobody chose, an integer in [0, 2^32). It is no secret, and in WebKit a worker that touches `crypto` leaves a
 * thread behind when it ends.
 */
export function drawSeed(): number {
	return Math.floor(Math.random() * 2 ** 32);
}
