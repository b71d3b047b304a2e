import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { StoredTensor } from "./checkpoint.ts";

/** A tensor whose canonical bytes lie in `source` from byte `start` on. */
export function storedTensor(
	source: ByteSource,
	start: number,
	about: Pick<StoredTensor, "name" | "shape" | "type" | "bytes">,
): StoredTensor {
	const tensor: StoredTensor = {
		...about,
		file: source.name,
		async read(offset = 0, length = about.bytes - offset, into) {
			checkExtent(tensor, offset, length);
			return source.read(start + offset, length, into);
		},
	};
	return tensor;
}

/** Rejects a read that leaves the tensor: the bytes behind it belong to another one. */
export function checkExtent(
	tensor: Pick<StoredTensor, "name" | "bytes" | "file">,
	offset: number,
	length: number,
): void {
	if (
		!Number.isSafeInteger(offset) ||
		!Number.isSafeInteger(length) ||
		offset < 0 ||
		length < 0 ||
		offset + length > tensor.bytes
	)
		throw new CheckpointError(
			`${tensor.file}: ${length} bytes at ${offset} of tensor ${tensor.name} were asked for, it has ${tensor.bytes}`,
		);
}

/** Number of elements of a shape; undefined beyond 2^53, where bytes can no longer be counted either. */
export function elementsOf(shape: readonly number[]): number | undefined {
	let elements = 1;
	for (const size of shape) elements *= size;
	return Number.isSafeInteger(elements) ? elements : undefined;
}
