import type { Bits } from "./ggml.ts";

/** The code of row r and column c of 32 in the five vectors of its four rows, 80 bytes from `at`. */
export function fiveBits(at: number, r: number, c: number): Bits {
	const byte = at + 80 * (r >> 2) + 4 * (r & 3) + (c & 3);
	const [a, b, cc, d, e] = [0, 16, 32, 48, 64].map((v) => byte + v) as [
		number,
		number,
		number,
		number,
		number,
	];
	const four = c >> 2;
	if (four < 5) return [[byte + 16 * four, 0, 5]];
	if (four === 5)
		return [
			[d, 6, 2],
			[a, 5, 3],
		];
	if (four === 6)
		return [
			[e, 6, 2],
			[b, 5, 3],
		];
	return [
		[e, 5, 1],
		[d, 5, 1],
		[cc, 5, 3],
	];
}
