import { CheckpointError, UnsupportedError } from "../errors.ts";
import { type Cursor, cursor } from "./gguf-cursor.ts";
import {
	type GgufMetadata,
	type GgufOverview,
	readMetadata,
} from "./gguf-metadata.ts";
import { type GgmlType, ggmlTypes } from "./gguf-types.ts";
import { excerpt } from "./json.ts";
import { elementsOf } from "./stored.ts";

/** What the header of one GGUF file says. */
export interface GgufHeader {
	readonly version: number;
	readonly metadata: GgufMetadata;
	readonly overview: GgufOverview;
	readonly tensors: readonly GgufTensor[];
}

export interface GgufTensor {
	/** The file's own name, such as "blk.0.attn_q.weight". */
	readonly name: string;
	/** Outermost dimension first: the file's order reversed. */
	readonly shape: readonly number[];
	readonly type: GgmlType;
	/** From the start of the file. */
	readonly offset: number;
	readonly bytes: number;
}

const MAGIC = 0x46554747; // "GGUF"
const MAX_DIMENSIONS = 4;
/** ggml keeps names in 64 bytes with a terminator. */
const MAX_NAME_BYTES = 63;
const DEFAULT_ALIGNMENT = 32;
/** Padding only; the largest alignment seen in files is 4096. */
const MAX_ALIGNMENT = 2 ** 20;
/** An empty key, its type and one byte: less cannot be in a file. */
const LEAST_KEY_BYTES = 8 + 4 + 1;
/** An empty name, the number of dimensions, the type and the offset. */
const LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8;

export function isGguf(head: Uint8Array): boolean {
	return (
		head.length >= 4 &&
		new DataView(head.buffer, head.byteOffset).getUint32(0, true) === MAGIC
	);
}

/**
 * Reads the header of a GGUF file (versions 2 and 3, little-endian), all numbers little-endian:
 *
 *     "GGUF", version u32, tensors u64, keys u64
 *     per key      name string, type u32, value
 *     per tensor   name string, dimensions u32, sizes u64[] (fastest axis first), type u32, offset u64
 *     zeros up to a multiple of `general.alignment`, then the data, where every tensor is padded likewise
 *
 * `bytes` are the first bytes of a file of `size` bytes. Throws Shortage where more of them are needed.
 */
export function parseHeader(
	bytes: Uint8Array,
	size: number,
	file: string,
): GgufHeader {
	const from = cursor(bytes, size, file);
	if (from.u32("the magic number") !== MAGIC)
		throw new CheckpointError(`${file}: does not start with "GGUF"`);
	const version = from.u32("the version");
	if (version !== 0 && (version & 0xffff) === 0)
		throw new UnsupportedError(
			`${file}: a big-endian GGUF file; only little-endian files are read`,
		);
	if (version !== 2 && version !== 3)
		throw new UnsupportedError(
			`${file}: GGUF version ${version}; versions 2 and 3 are read`,
		);
	const tensorCount = from.u64("the number of tensors");
	const keyCount = from.u64("the number of keys");
	from.fits(keyCount, LEAST_KEY_BYTES, "keys");
	const { metadata, overview } = readMetadata(from, keyCount, bytes, file);
	const alignment = alignmentOf(metadata, file);
	from.fits(tensorCount, LEAST_TENSOR_BYTES, "tensors");
	const found: GgufTensor[] = [];
	const names = new Set<string>();
	let end = 0;
	for (let i = 0; i < tensorCount; i++) {
		const tensor = readTensor(from, file);
		const { name, offset, bytes } = tensor;
		const where = `${file}: tensor ${excerpt(name)}`;
		if (names.has(name)) throw new CheckpointError(`${where} occurs twice`);
		if (offset !== end)
			throw new CheckpointError(
				`${where} is at ${offset} of the data, the tensors before it end at ${end}`,
			);
		names.add(name);
		found.push(tensor);
		end = align(offset + bytes, alignment);
	}
	const dataStart = align(from.at, alignment);
	const tensors = found.map((tensor) => ({
		...tensor,
		offset: dataStart + tensor.offset,
	}));
	for (const { name, offset, bytes } of tensors)
		if (offset + bytes > size)
			throw new CheckpointError(
				`${file}: truncated: tensor ${excerpt(name)} ends at byte ${offset + bytes}, the file has ${size}`,
			);
	return { version, metadata, overview, tensors };
}

function alignmentOf(metadata: GgufMetadata, file: string): number {
	const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
	const valid =
		typeof alignment === "number" &&
		Number.isInteger(Math.log2(alignment)) &&
		alignment >= 1 &&
		alignment <= MAX_ALIGNMENT;
	if (!valid)
		throw new CheckpointError(
			`${file}: general.alignment is ${excerpt(alignment)}, a power of two up to ${MAX_ALIGNMENT} was expected`,
		);
	return alignment;
}

function readTensor(from: Cursor, file: string): GgufTensor {
	const name = from.string("a tensor's name");
	const where = `tensor ${excerpt(name)}`;
	const fail = (why: string) =>
		new CheckpointError(`${file}: ${where}: ${why}`);
	if (name === "" || new TextEncoder().encode(name).length > MAX_NAME_BYTES)
		throw fail(`its name has not 1 to ${MAX_NAME_BYTES} bytes`);
	const dimensions = from.u32(`the dimensions of ${where}`);
	if (dimensions > MAX_DIMENSIONS)
		throw fail(
			`${dimensions} dimensions, at most ${MAX_DIMENSIONS} are allowed`,
		);
	const sizes: number[] = [];
	for (let i = 0; i < dimensions; i++)
		sizes.push(from.u64(`dimension ${i} of ${where}`));
	const id = from.u32(`the type of ${where}`);
	const offset = from.u64(`the offset of ${where}`);
	const type = ggmlTypes.get(id);
	if (!type) throw fail(`the tensor type ${id} is not known`);
	const shape = sizes.toReversed();
	const elements = elementsOf(shape);
	if (sizes.includes(0) || elements === undefined)
		throw fail(`its shape is [${shape}]`);
	const columns = sizes[0] ?? 1;
	if (columns % type.block !== 0)
		throw fail(
			`rows of ${columns} elements are not whole blocks of ${type.name} (${type.block})`,
		);
	const bytes = (elements / type.block) * type.bytes;
	if (!Number.isSafeInteger(bytes + offset))
		throw fail(`[${shape}] of ${type.name} is too large`);
	return { name, shape, type, offset, bytes };
}

function align(offset: number, alignment: number): number {
	return Math.ceil(offset / alignment) * alignment;
}
