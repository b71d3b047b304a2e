// Codes of 1 to 8 bits in 32-bit little-endian words, as compressed-tensors packs them: u = q + 2^(bits − 1).
//
//   dense   code i at bits [i·bits, (i + 1)·bits) of the row read as one stream          since 0.13
//   loose   floor(32 / bits) codes per word, the top bits of a word unused                up to 0.12
//
// The two are the same where bits divides 32:   4 bits:  word = u0 | u1 << 4 | … | u7 << 28
export interface Packing {
	readonly bits: number;
	readonly dense: boolean;
}

/** 32-bit words that `count` codes take. */
export function wordsOf({ bits, dense }: Packing, count: number): number {
	return dense
		? Math.ceil((count * bits) / 32)
		: Math.ceil(count / Math.floor(32 / bits));
}

function bitOf({ bits, dense }: Packing, i: number): number {
	if (dense) return i * bits;
	const perWord = Math.floor(32 / bits);
	return 32 * Math.floor(i / perWord) + (i % perWord) * bits;
}

/** The first codes of `bytes`, as many as `codes` has room for. */
export function unpack(
	packing: Packing,
	bytes: Uint8Array,
	codes: Int8Array,
): void {
	const { bits } = packing;
	const half = 2 ** (bits - 1);
	for (let i = 0; i < codes.length; i++) {
		const bit = bitOf(packing, i);
		const two = bytes[bit >> 3]! | ((bytes[(bit >> 3) + 1] ?? 0) << 8);
		codes[i] = ((two >> (bit & 7)) & (2 * half - 1)) - half;
	}
}
