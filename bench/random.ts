/** Numbers that look random and are the same in every run. */

/** A source of numbers from 0 up to 1. */
export function makeRandom(): () => number {
	let state = 12345;
	return () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return state / 2 ** 32;
	};
}

export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
	const random = makeRandom();
	return Uint8Array.from({ length }, () => 256 * random());
}

/** Weights as layers of some thousand columns have them: from −0.025 to 0.025. */
export function randomWeights(length: number): Float32Array<ArrayBuffer> {
	const random = makeRandom();
	return Float32Array.from({ length }, () => (random() - 0.5) * 0.05);
}
