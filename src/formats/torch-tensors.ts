// Tensors over the storages of a torch archive. A contiguous one is a byte range of its record; any other is gathered
// into memory when it is first read.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "./checkpoint.ts";
import { checkExtent, elementsOf } from "./stored.ts";
import { elementTypes, type Tensor } from "./torch-objects.ts";
import type { Zip, ZipEntry } from "./zip.ts";

/** Returns the function that opens a described tensor. It throws CheckpointError where the tensor leaves its storage or the storage its record. */
export function tensorOpener(
	zip: Zip,
	root: string,
	file: string,
): (name: string, tensor: Tensor) => StoredTensor {
	// Readers take a tensor in pieces, so the last strided one is kept rather than gathered again for each piece.
	let gathered: { of: string; bytes: Promise<Uint8Array> } | undefined;

	return (name, tensor) => {
		const where = `${file}: ${name}`;
		const [type, itemBytes] = elementTypes[tensor.type]!;
		const { shape } = tensor;
		const count = elementsOf(shape) ?? Number.POSITIVE_INFINITY;
		const entry = recordOf(zip, root, tensor, itemBytes, where);
		if (count > 0) checkSpan(tensor, count, itemBytes, where);
		const bytes = count * itemBytes;
		const contiguous = isContiguous(tensor);

		const read: StoredTensor["read"] = async (
			offset = 0,
			length = bytes - offset,
			into,
		) => {
			checkExtent(stored, offset, length);
			if (contiguous) {
				return zip.read(
					entry,
					tensor.offset * itemBytes + offset,
					length,
					into,
				);
			}
			if (gathered?.of !== name) {
				gathered = { of: name, bytes: gather(zip, entry, tensor, itemBytes) };
			}
			const whole = (await gathered.bytes).subarray(offset, offset + length);
			if (into === undefined) return whole.slice();
			into.set(whole);
			return into.subarray(0, length);
		};
		const stored: StoredTensor = { name, shape, type, bytes, file, read };
		return stored;
	};
}

function recordOf(
	zip: Zip,
	root: string,
	{ storage, type }: Tensor,
	itemBytes: number,
	where: string,
): ZipEntry {
	const entry = zip.entries.get(`${root}data/${storage.key}`);
	if (entry === undefined) {
		throw new CheckpointError(
			`${where}: its storage ${root}data/${storage.key} is not in the archive`,
		);
	}
	const claimed = storage.length * (storage.type === undefined ? 1 : itemBytes);
	if (claimed > entry.size) {
		throw new CheckpointError(
			`${where}: its storage claims ${storage.length} elements of ${type}, the record has ${entry.size} bytes`,
		);
	}
	return entry;
}

function checkSpan(
	tensor: Tensor,
	count: number,
	itemBytes: number,
	where: string,
) {
	const { storage, shape, stride, offset } = tensor;
	const held =
		storage.type === undefined
			? Math.floor(storage.length / itemBytes)
			: storage.length;
	const last = shape.reduce(
		(sum, size, i) => sum + (size - 1) * stride[i]!,
		offset,
	);
	if (!(last < held)) {
		throw new CheckpointError(
			`${where}: shape [${shape}], stride [${stride}] and offset ${offset} reach element ${last} of a storage of ${held}`,
		);
	}
	if (!(count <= held)) {
		throw new CheckpointError(
			`${where}: shape [${shape}] with stride [${stride}] repeats the ${held} elements of its storage`,
		);
	}
}

function isContiguous({ shape, stride }: Tensor): boolean {
	let expected = 1;
	for (let i = shape.length - 1; i >= 0; i--) {
		if (shape[i] !== 1 && stride[i] !== expected) return shape.includes(0);
		expected *= shape[i]!;
	}
	return true;
}

/** The elements in row-major order, copied out of the part of the storage that they span. */
async function gather(
	zip: Zip,
	entry: ZipEntry,
	{ shape, stride, offset }: Tensor,
	itemBytes: number,
): Promise<Uint8Array> {
	const steps = shape.map((size, i) => (size - 1) * stride[i]! * itemBytes);
	const span = await zip.read(
		entry,
		offset * itemBytes,
		steps.reduce((a, b) => a + b, itemBytes),
	);
	const count = shape.reduce((a, b) => a * b, 1);
	const out = new Uint8Array(count * itemBytes);
	const index = shape.map(() => 0);
	let from = 0;
	for (let to = 0; to < out.length; to += itemBytes) {
		for (let b = 0; b < itemBytes; b++) out[to + b] = span[from + b]!;
		for (let d = shape.length - 1; d >= 0; d--) {
			index[d]! += 1;
			from += stride[d]! * itemBytes;
			if (index[d]! < shape[d]!) break;
			from -= steps[d]! + stride[d]! * itemBytes;
			index[d] = 0;
		}
	}
	return out;
}
