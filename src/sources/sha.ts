/** SHA-1 and SHA-256 (FIPS 180-4) of bytes that come in pieces, which the web's own crypto cannot do. */
export interface Hasher {
	update(bytes: Uint8Array): void;
	/** The hash in hexadecimal. Ends the hasher. */
	digest(): string;
}

const BLOCK_BYTES = 64;

/** The first 32 bits of the fraction of x. */
const fraction = (x: number) => Math.trunc((x % 1) * 2 ** 32);
const PRIMES = Array.from({ length: 310 }, (_, i) => i + 2).filter((n) =>
	Array.from({ length: n - 2 }, (_, i) => i + 2).every((d) => n % d !== 0),
);

const SHA256_ROUNDS = Int32Array.from(PRIMES, (p) => fraction(Math.cbrt(p)));
const SHA256_START = PRIMES.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
const SHA1_START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
const SHA1_ROUNDS = [2, 3, 5, 10].map((n) =>
	Math.trunc(Math.sqrt(n) * 2 ** 30),
);

export function sha256(): Hasher {
	const h = Int32Array.from(SHA256_START);
	const w = new Int32Array(64);
	return hasher(h, (bytes, at) => {
		readWords(w, bytes, at);
		for (let i = 16; i < 64; i++) {
			const x = w[i - 15]!;
			const y = w[i - 2]!;
			const s0 = right(x, 7) ^ right(x, 18) ^ (x >>> 3);
			const s1 = right(y, 17) ^ right(y, 19) ^ (y >>> 10);
			w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
		}
		let a = h[0]!;
		let b = h[1]!;
		let c = h[2]!;
		let d = h[3]!;
		let e = h[4]!;
		let f = h[5]!;
		let g = h[6]!;
		let k = h[7]!;
		for (let i = 0; i < 64; i++) {
			const s1 = right(e, 6) ^ right(e, 11) ^ right(e, 25);
			const choice = (e & f) ^ (~e & g);
			const t1 = (k + s1 + choice + SHA256_ROUNDS[i]! + w[i]!) | 0;
			const s0 = right(a, 2) ^ right(a, 13) ^ right(a, 22);
			const majority = (a & b) ^ (a & c) ^ (b & c);
			k = g;
			g = f;
			f = e;
			e = (d + t1) | 0;
			d = c;
			c = b;
			b = a;
			a = (t1 + s0 + majority) | 0;
		}
		h[0] = h[0]! + a;
		h[1] = h[1]! + b;
		h[2] = h[2]! + c;
		h[3] = h[3]! + d;
		h[4] = h[4]! + e;
		h[5] = h[5]! + f;
		h[6] = h[6]! + g;
		h[7] = h[7]! + k;
	});
}

export function sha1(): Hasher {
	const h = Int32Array.from(SHA1_START);
	const w = new Int32Array(80);
	return hasher(h, (bytes, at) => {
		readWords(w, bytes, at);
		for (let i = 16; i < 80; i++)
			w[i] = right(w[i - 3]! ^ w[i - 8]! ^ w[i - 14]! ^ w[i - 16]!, 31);
		let a = h[0]!;
		let b = h[1]!;
		let c = h[2]!;
		let d = h[3]!;
		let e = h[4]!;
		for (let i = 0; i < 80; i++) {
			const mixed =
				i < 20
					? (b & c) ^ (~b & d)
					: i < 40 || i >= 60
						? b ^ c ^ d
						: (b & c) ^ (b & d) ^ (c & d);
			const constant = SHA1_ROUNDS[Math.trunc(i / 20)]!;
			const t = (right(a, 27) + mixed + e + constant + w[i]!) | 0;
			e = d;
			d = c;
			c = right(b, 2);
			b = a;
			a = t;
		}
		h[0] = h[0]! + a;
		h[1] = h[1]! + b;
		h[2] = h[2]! + c;
		h[3] = h[3]! + d;
		h[4] = h[4]! + e;
	});
}

const right = (x: number, bits: number) => (x >>> bits) | (x << (32 - bits));

function readWords(words: Int32Array, bytes: Uint8Array, at: number): void {
	for (let i = 0; i < 16; i++, at += 4)
		words[i] =
			(bytes[at]! << 24) |
			(bytes[at + 1]! << 16) |
			(bytes[at + 2]! << 8) |
			bytes[at + 3]!;
}

/** Cuts the pieces into blocks; the last one ends with a set bit, zeros, and how many bits there were, as a 64-bit number. */
function hasher(
	state: Int32Array,
	compress: (bytes: Uint8Array, at: number) => void,
): Hasher {
	const block = new Uint8Array(BLOCK_BYTES);
	let filled = 0;
	let length = 0;
	const update = (bytes: Uint8Array) => {
		length += bytes.length;
		let at = 0;
		if (filled > 0) {
			at = Math.min(BLOCK_BYTES - filled, bytes.length);
			block.set(bytes.subarray(0, at), filled);
			filled += at;
			if (filled < BLOCK_BYTES) return;
			compress(block, 0);
		}
		for (; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES)
			compress(bytes, at);
		block.set(bytes.subarray(at));
		filled = bytes.length - at;
	};
	return {
		update,
		digest() {
			const bits = new DataView(new ArrayBuffer(8));
			bits.setBigUint64(0, BigInt(length) * 8n);
			const zeros = (2 * BLOCK_BYTES - 9 - filled) % BLOCK_BYTES;
			update(Uint8Array.of(0x80, ...new Uint8Array(zeros)));
			update(new Uint8Array(bits.buffer));
			return Array.from(state, (word) =>
				(word >>> 0).toString(16).padStart(8, "0"),
			).join("");
		},
	};
}
