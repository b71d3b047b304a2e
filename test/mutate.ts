/** A copy with one to three changes among its first `headerBytes`. */
export function mutate(
	original: Uint8Array<ArrayBuffer>,
	headerBytes: number,
	random: (below: number) => number,
): Uint8Array {
	let bytes = original.slice();
	for (let changes = 1 + random(3); changes > 0; changes--) {
		const at = random(Math.min(headerBytes, bytes.length));
		const view = new DataView(bytes.buffer);
		switch (random(8)) {
			case 0:
				bytes[at] = random(256);
				break;
			case 1:
				bytes[at]! ^= 1 << random(8);
				break;
			case 2:
				if (at + 8 <= bytes.length)
					view.setBigUint64(at, 1n << BigInt(random(64)), true);
				break;
			case 3:
				if (at + 4 <= bytes.length)
					view.setUint32(at, [0, 0xffffffff, 9, 8, 1 << 30][random(5)]!, true);
				break;
			case 4:
				bytes = bytes.slice(0, at);
				break;
			case 5:
				bytes.copyWithin(at, random(headerBytes), random(bytes.length));
				break;
			case 6:
				bytes = splice(bytes, at, random(40), new Uint8Array(0));
				break;
			default:
				bytes = splice(bytes, at, 0, bytes.slice(at, at + random(40)));
		}
		if (bytes.length === 0) return bytes;
	}
	return bytes;
}

function splice(
	bytes: Uint8Array,
	at: number,
	remove: number,
	insert: Uint8Array,
): Uint8Array<ArrayBuffer> {
	return new Uint8Array(
		Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]),
	);
}

/** Whole numbers from 0 to below a bound: xorshift32. */
export function generator(seed: number): (below: number) => number {
	let state = seed;
	return (below) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) % Math.max(below, 1);
	};
}
