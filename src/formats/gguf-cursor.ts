import { CheckpointError } from "../errors.ts";

/**
 * No header is longer. The longest of the models this library runs (Gemma 3: 262,144 tokens and 514,906 merges)
 * is below 20 MB.
 */
const MAX_HEADER_BYTES = 128 * 2 ** 20;

/** Thrown by a cursor that was given too little of the file; `needed` bytes from its start are the least that help. */
export class Shortage extends Error {
	readonly needed: number;

	constructor(needed: number) {
		super(`the first ${needed} bytes are needed`);
		this.needed = needed;
	}
}

/** A walk over the header of a GGUF file, of which `bytes` are the beginning and `size` is the length. */
export interface Cursor {
	/** Offset of the next byte. */
	readonly at: number;
	/** Passes over so many bytes and returns where they began. `what` names them in errors. */
	skip(bytes: number, what: string): number;
	u32(what: string): number;
	/** A count or size: rejected above 2^53. */
	u64(what: string): number;
	string(what: string): string;
	/** Rejects a count of items that the rest of the file cannot hold, before anything is done with it. */
	fits(count: number, leastBytesEach: number, what: string): number;
}

export function cursor(bytes: Uint8Array, size: number, file: string): Cursor {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	// U+FEFF is a token of some vocabularies; without ignoreBOM it would be read as an empty one.
	const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
	let at = 0;

	function skip(count: number, what: string): number {
		if (count > size - at)
			throw new CheckpointError(
				`${file}: truncated: ${what} takes ${count} bytes at ${at}, the file has ${size}`,
			);
		const end = at + count;
		if (end > MAX_HEADER_BYTES)
			throw new CheckpointError(
				`${file}: ${what} reaches byte ${end} of the header, at most ${MAX_HEADER_BYTES} are allowed`,
			);
		if (end > bytes.length) throw new Shortage(end);
		const start = at;
		at = end;
		return start;
	}

	function u32(what: string): number {
		return view.getUint32(skip(4, what), true);
	}

	function u64(what: string): number {
		const start = skip(8, what);
		// Half a million strings begin with one; BigInt would take most of the time they do.
		const value =
			view.getUint32(start, true) + view.getUint32(start + 4, true) * 2 ** 32;
		if (value > Number.MAX_SAFE_INTEGER)
			throw new CheckpointError(
				`${file}: ${what} is ${view.getBigUint64(start, true)}, too large`,
			);
		return value;
	}

	function string(what: string): string {
		const length = u64(what);
		const start = skip(length, what);
		return decoder.decode(bytes.subarray(start, start + length));
	}

	return {
		get at() {
			return at;
		},
		skip,
		u32,
		u64,
		string,
		fits(count, leastBytesEach, what) {
			if (count > (size - at) / leastBytesEach)
				throw new CheckpointError(
					`${file}: ${count} ${what} are announced at byte ${at}, the file has ${size}`,
				);
			return count;
		},
	};
}
