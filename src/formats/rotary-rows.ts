import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "./checkpoint.ts";
import { checkExtent } from "./stored.ts";

/**
 * llama.cpp rotates adjacent pairs of rows where Hugging Face rotates the two halves of a head, so its
 * converter interleaves the halves. Of a head's d rows (of a matrix, or elements of a bias)
 *
 *     canonical row b·d/2 + j = stored row 2j + b,   b ∈ {0, 1}, 0 ≤ j < d/2
 *
 * A row is whole blocks in every type, so rows move and no value changes. Heads that are read whole go straight
 * to their destination and are reordered there; of others only the rows needed, and those between, are read.
 */
export function halfSplitRows(
	stored: StoredTensor,
	heads: number,
): StoredTensor {
	const rows = stored.shape[0] ?? 0;
	const rowBytes = stored.bytes / rows;
	const headBytes = stored.bytes / heads;
	const halfBytes = headBytes / 2;
	if (!Number.isInteger(rows / heads / 2) || !Number.isInteger(rowBytes))
		throw new CheckpointError(
			`${stored.file}: tensor ${stored.name} is ${stored.type} [${stored.shape}], whose rows ${heads} heads cannot share in two halves each`,
		);

	const tensor: StoredTensor = {
		...stored,
		async read(offset = 0, length = stored.bytes - offset, into) {
			checkExtent(stored, offset, length);
			const target = into?.subarray(0, length) ?? new Uint8Array(length);
			const end = offset + length;
			const wholeEnd = end - (end % headBytes);
			let at = offset;
			while (at < end) {
				if (at % headBytes === 0 && at < wholeEnd) {
					const whole = target.subarray(at - offset, wholeEnd - offset);
					await stored.read(at, wholeEnd - at, whole);
					for (let head = 0; head < whole.length; head += headBytes)
						separate(whole.subarray(head, head + headBytes), rowBytes);
					at = wholeEnd;
				} else {
					const stop = Math.min(end, at - (at % halfBytes) + halfBytes);
					await readPart(at, target.subarray(at - offset, stop - offset));
					at = stop;
				}
			}
			return target;
		},
	};
	return tensor;

	/** Bytes from `at` on, all within one half of one head. */
	async function readPart(at: number, target: Uint8Array): Promise<void> {
		const head = at - (at % headBytes);
		const half = at - head < halfBytes ? 0 : 1;
		const start = at - head - half * halfBytes;
		const first = Math.floor(start / rowBytes);
		const last = Math.floor((start + target.length - 1) / rowBytes);
		const between = await stored.read(
			head + (2 * first + half) * rowBytes,
			(2 * (last - first) + 1) * rowBytes,
		);
		for (let j = first; j <= last; j++) {
			const row = between
				.subarray(2 * (j - first) * rowBytes)
				.subarray(0, rowBytes);
			const from = Math.max(0, start - j * rowBytes);
			const to = Math.min(rowBytes, start + target.length - j * rowBytes);
			target.set(row.subarray(from, to), j * rowBytes + from - start);
		}
	}
}

/** Puts the even rows of one head before its odd ones. */
function separate(head: Uint8Array, rowBytes: number): void {
	const interleaved = head.slice();
	const pairs = head.length / rowBytes / 2;
	for (let j = 0; j < pairs; j++)
		for (const b of [0, 1]) {
			const from = (2 * j + b) * rowBytes;
			const row = interleaved.subarray(from, from + rowBytes);
			head.set(row, (b * pairs + j) * rowBytes);
		}
}
