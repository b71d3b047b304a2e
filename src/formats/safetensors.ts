import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { Contents, Format, StoredTensor } from "./checkpoint.ts";
import { excerpt, isRecord, parseJson } from "./json.ts";
import { elementsOf, storedTensor } from "./stored.ts";

/**
 * One safetensors file:
 *
 *     bytes 0..7     N, the header's length in bytes, u64 little-endian
 *     bytes 8..8+N   JSON: { name: { dtype, shape, data_offsets: [begin, end] }, …, "__metadata__": { string: string } }
 *     bytes 8+N..    data; offsets count from here, and the tensors tile it without holes or overlaps
 *
 * Metadata that maps the name of an absent tensor to that of a present one makes the two the same tensor.
 */
export const safetensors: Format = {
	name: "safetensors",
	matches: (head) => head.length > 8 && head[8] === "{".charCodeAt(0),
	async open(source) {
		const { header, dataStart } = await readHeader(source);
		const { __metadata__: metadata = {}, ...entries } = header;
		if (!isStrings(metadata))
			throw new CheckpointError(
				`${source.name}: __metadata__ is not an object of strings`,
			);
		const tensors = new Map<string, StoredTensor>();
		const extents: Extent[] = [];
		for (const [name, entry] of Object.entries(entries)) {
			const extent = extentOf(source, name, entry);
			extents.push(extent);
			const { begin, end, shape, type } = extent;
			const about = { name, shape, type, bytes: end - begin };
			tensors.set(name, storedTensor(source, dataStart + begin, about));
		}
		checkTiling(source, extents, source.size - dataStart);
		for (const [name, target] of Object.entries(metadata)) {
			const tensor = tensors.get(target);
			if (tensor && !tensors.has(name)) tensors.set(name, { ...tensor, name });
		}
		return { tensors, metadata } satisfies Contents;
	},
};

/** The reference's limit. A header this long describes a million tensors. */
const MAX_HEADER_BYTES = 100_000_000;

/** As many as torch and numpy know. */
const MAX_DIMENSIONS = 64;

/** Width of one element in bits, by dtype. */
const BITS: ReadonlyMap<string, number> = new Map(
	Object.entries({
		4: "F4",
		6: "F6_E2M3 F6_E3M2",
		8: "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
		16: "I16 U16 F16 BF16",
		32: "I32 U32 F32",
		64: "I64 U64 F64 C64",
	}).flatMap(([bits, dtypes]) =>
		dtypes.split(" ").map((dtype) => [dtype, Number(bits)]),
	),
);

interface Extent {
	readonly name: string;
	readonly type: string;
	readonly shape: readonly number[];
	/** Bytes [begin, end) of the data. */
	readonly begin: number;
	readonly end: number;
}

async function readHeader(
	source: ByteSource,
): Promise<{ header: Record<string, unknown>; dataStart: number }> {
	const { name, size } = source;
	if (size < 8)
		throw new CheckpointError(
			`${name}: ${size} bytes are too few for a safetensors file`,
		);
	const first = await source.read(0, 8);
	const length = new DataView(first.buffer, first.byteOffset).getBigUint64(
		0,
		true,
	);
	if (length > MAX_HEADER_BYTES)
		throw new CheckpointError(
			`${name}: a header of ${length} bytes is announced, at most ${MAX_HEADER_BYTES} are allowed`,
		);
	const dataStart = 8 + Number(length);
	if (dataStart > size)
		throw new CheckpointError(
			`${name}: a header of ${length} bytes is announced, the file has ${size} in all: it is truncated`,
		);
	const header = parseJson(await source.read(8, Number(length)), name);
	return { header, dataStart };
}

function extentOf(source: ByteSource, name: string, entry: unknown): Extent {
	const where = `${source.name}: tensor ${excerpt(name)}`;
	const fail = (why: string) => new CheckpointError(`${where}: ${why}`);
	if (!isRecord(entry)) throw fail("its description is not an object");
	const { dtype, shape, data_offsets: offsets } = entry;
	if (typeof dtype !== "string") throw fail("dtype is missing");
	if (!isSizes(shape)) throw fail(`shape is ${excerpt(shape)}`);
	if (!isSizes(offsets) || offsets.length !== 2)
		throw fail(`data_offsets is ${excerpt(offsets)}`);
	const [begin, end] = offsets as [number, number];
	const bits = BITS.get(dtype);
	if (bits === undefined)
		throw new UnsupportedError(
			`${where}: dtype ${excerpt(dtype)} is not one of ${[...BITS.keys()].join(", ")}`,
		);
	const elements = elementsOf(shape);
	if (elements === undefined || !Number.isSafeInteger(elements * bits))
		throw fail(`shape [${shape}] has too many elements`);
	if ((elements * bits) % 8 !== 0)
		throw fail(`${elements} elements of ${dtype} do not end on a byte`);
	if (end - begin !== (elements * bits) / 8)
		throw fail(
			`data_offsets [${offsets}] hold ${end - begin} bytes, ${dtype} [${shape}] needs ${(elements * bits) / 8}`,
		);
	return { name, type: dtype, shape, begin, end };
}

/** Also finds names that occur twice with different data: JSON.parse keeps the last, the first leaves a hole. */
function checkTiling(
	source: ByteSource,
	extents: readonly Extent[],
	dataBytes: number,
): void {
	let end = 0;
	let before = "the header";
	for (const next of extents.toSorted(
		(a, b) => a.begin - b.begin || a.end - b.end,
	)) {
		if (next.begin !== end)
			throw new CheckpointError(
				`${source.name}: tensor ${excerpt(next.name)} begins at byte ${next.begin} of the data, ${before} ends at ${end}`,
			);
		end = next.end;
		before = excerpt(next.name);
	}
	if (end !== dataBytes)
		throw new CheckpointError(
			`${source.name}: the tensors take ${end} bytes, the file holds ${dataBytes}${end > dataBytes ? ": it is truncated" : ""}`,
		);
}

function isSizes(value: unknown): value is number[] {
	return (
		Array.isArray(value) &&
		value.length <= MAX_DIMENSIONS &&
		value.every((size) => Number.isSafeInteger(size) && size >= 0)
	);
}

function isStrings(value: unknown): value is Record<string, string> {
	return (
		isRecord(value) &&
		Object.values(value).every((item) => typeof item === "string")
	);
}
