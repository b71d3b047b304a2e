// ZIP archives whose entries are stored, not compressed: what torch.save writes.
// PKWARE APPNOTE 6.3; torch streams its archives, so the sizes in local headers are zero, the real ones follow the data
// in a descriptor and stand in the central directory, which alone is believed here.
//
//   [local header · name · extra · data · descriptor]* [central directory] [ZIP64 end · locator] [end]
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";

const END = 0x06054b50;
const END_BYTES = 22;
const END_64 = 0x06064b50;
const END_64_BYTES = 56;
const LOCATOR_64 = 0x07064b50;
const LOCATOR_64_BYTES = 20;
const CENTRAL = 0x02014b50;
const CENTRAL_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const EXTRA_64 = 1;
const ENCRYPTED = 1;

/** A comment after the end record has a 16-bit length. */
const LONGEST_COMMENT = 0xffff;
/** One entry per storage: the largest published checkpoints have thousands. */
const MAX_ENTRIES = 1 << 20;
const MAX_DIRECTORY_BYTES = 1 << 27;

export interface ZipEntry {
	readonly name: string;
	/** Size of the data in bytes. */
	readonly size: number;
	readonly crc: number;
	/** Offset of the local header. */
	readonly header: number;
	/** Offset of whatever comes next: the data ends before it. */
	readonly limit: number;
}

export interface Zip {
	readonly entries: ReadonlyMap<string, ZipEntry>;
	/** Reads [offset, offset + length) of an entry's data, into `into` where given. */
	read(
		entry: ZipEntry,
		offset: number,
		length: number,
		into?: Uint8Array,
	): Promise<Uint8Array>;
	/** All bytes of a small entry, its checksum verified. Throws CheckpointError where it holds more than `maxBytes`. */
	readWhole(entry: ZipEntry, maxBytes: number): Promise<Uint8Array>;
}

/** Reads the directory of an archive. Throws CheckpointError where it is damaged and UnsupportedError where entries are compressed or encrypted. */
export async function openZip(source: ByteSource): Promise<Zip> {
	const directory = await findDirectory(source);
	const entries = parseDirectory(
		await source.read(directory.offset, directory.bytes),
		directory,
		source.name,
	);
	const starts = new Map<ZipEntry, Promise<number>>();
	const read: Zip["read"] = async (entry, offset, length, into) => {
		if (offset < 0 || length < 0 || offset + length > entry.size) {
			throw new CheckpointError(
				`${source.name}: record ${entry.name} has ${entry.size} bytes, asked for [${offset}, ${offset + length})`,
			);
		}
		let start = starts.get(entry);
		if (start === undefined) {
			start = dataStart(source, entry);
			starts.set(entry, start);
		}
		return source.read((await start) + offset, length, into);
	};
	const readWhole: Zip["readWhole"] = async (entry, maxBytes) => {
		if (entry.size > maxBytes) {
			throw new CheckpointError(
				`${source.name}: record ${entry.name} has ${entry.size} bytes, expected at most ${maxBytes}`,
			);
		}
		const bytes = await read(entry, 0, entry.size);
		const crc = crc32(bytes);
		if (crc !== entry.crc) {
			throw new CheckpointError(
				`${source.name}: record ${entry.name} has checksum ${crc.toString(16)}, the directory says ${entry.crc.toString(16)}`,
			);
		}
		return bytes;
	};
	return { entries, read, readWhole };
}

interface Directory {
	readonly offset: number;
	readonly bytes: number;
	readonly count: number;
}

async function findDirectory(source: ByteSource): Promise<Directory> {
	const tailBytes = Math.min(
		source.size,
		END_BYTES + LONGEST_COMMENT + LOCATOR_64_BYTES + END_64_BYTES,
	);
	const tailOffset = source.size - tailBytes;
	const tail = viewOf(await source.read(tailOffset, tailBytes));
	let end = tailBytes - END_BYTES;
	while (
		end >= 0 &&
		(tail.getUint32(end, true) !== END ||
			end + END_BYTES + tail.getUint16(end + 20, true) !== tailBytes)
	) {
		end--;
	}
	if (end < 0) {
		throw new CheckpointError(
			`${source.name}: no end of a ZIP directory within ${source.size} bytes; the file is truncated or no torch archive`,
		);
	}
	const disks = tail.getUint16(end + 4, true) | tail.getUint16(end + 6, true);
	if (disks !== 0) {
		throw new UnsupportedError(
			`${source.name}: a ZIP archive split over several disks`,
		);
	}
	const plain = [
		{ what: "entries", value: tail.getUint16(end + 10, true), full: 0xffff },
		{ what: "size", value: tail.getUint32(end + 12, true), full: 0xffffffff },
		{ what: "offset", value: tail.getUint32(end + 16, true), full: 0xffffffff },
	];
	let [count, bytes, offset] = plain.map((field) => field.value) as [
		number,
		number,
		number,
	];
	let directoryEnd = tailOffset + end;

	const locator = end - LOCATOR_64_BYTES;
	if (locator >= 0 && tail.getUint32(locator, true) === LOCATOR_64) {
		directoryEnd = integer64(tail, locator + 8, source.name);
		if (directoryEnd + END_64_BYTES > tailOffset + locator) {
			throw new CheckpointError(
				`${source.name}: the ZIP64 locator points at ${directoryEnd}, past itself at ${tailOffset + locator}`,
			);
		}
		const end64 = viewOf(await source.read(directoryEnd, END_64_BYTES));
		if (end64.getUint32(0, true) !== END_64) {
			throw new CheckpointError(
				`${source.name}: no ZIP64 end record at ${directoryEnd}, where its locator points`,
			);
		}
		const wide = [32, 40, 48].map((at) => integer64(end64, at, source.name));
		for (const [i, { what, value, full }] of plain.entries()) {
			if (value !== full && value !== wide[i]) {
				throw new CheckpointError(
					`${source.name}: the ZIP directory's ${what} is ${value} in one end record and ${wide[i]} in the other`,
				);
			}
		}
		[count, bytes, offset] = wide as [number, number, number];
	}
	if (offset + bytes !== directoryEnd) {
		throw new CheckpointError(
			`${source.name}: the ZIP directory spans [${offset}, ${offset + bytes}), expected to end at ${directoryEnd}`,
		);
	}
	if (count > MAX_ENTRIES || bytes > MAX_DIRECTORY_BYTES) {
		throw new CheckpointError(
			`${source.name}: a ZIP directory of ${count} entries and ${bytes} bytes, expected at most ${MAX_ENTRIES} and ${MAX_DIRECTORY_BYTES}`,
		);
	}
	return { offset, bytes, count };
}

function parseDirectory(
	bytes: Uint8Array,
	directory: Directory,
	file: string,
): Map<string, ZipEntry> {
	const view = viewOf(bytes);
	const found: (Omit<ZipEntry, "limit"> & { leastEnd: number })[] = [];
	let at = 0;
	for (let i = 0; i < directory.count; i++) {
		if (
			at + CENTRAL_BYTES > bytes.length ||
			view.getUint32(at, true) !== CENTRAL
		) {
			throw new CheckpointError(
				`${file}: the ZIP directory ends at entry ${i} of ${directory.count}`,
			);
		}
		const nameBytes = view.getUint16(at + 28, true);
		const extraBytes = view.getUint16(at + 30, true);
		const next =
			at +
			CENTRAL_BYTES +
			nameBytes +
			extraBytes +
			view.getUint16(at + 32, true);
		if (next > bytes.length) {
			throw new CheckpointError(
				`${file}: entry ${i} of the ZIP directory runs past its end`,
			);
		}
		const nameEnd = at + CENTRAL_BYTES + nameBytes;
		const name = new TextDecoder().decode(
			bytes.subarray(at + CENTRAL_BYTES, nameEnd),
		);
		const [size, stored, header] = wideFields(
			view,
			at,
			nameEnd,
			nameEnd + extraBytes,
			`${file}: record ${name}`,
		);
		const method = view.getUint16(at + 10, true);
		if (method !== 0 || stored !== size) {
			throw new UnsupportedError(
				`${file}: record ${name} is compressed (method ${method}, ${stored} bytes for ${size}); torch archives store their records`,
			);
		}
		if (view.getUint16(at + 8, true) & ENCRYPTED) {
			throw new UnsupportedError(`${file}: record ${name} is encrypted`);
		}
		found.push({
			name,
			size,
			header,
			crc: view.getUint32(at + 16, true),
			leastEnd: header + LOCAL_BYTES + nameBytes + size,
		});
		at = next;
	}
	found.sort((a, b) => a.header - b.header);
	const entries = new Map<string, ZipEntry>();
	for (const [i, { leastEnd, ...entry }] of found.entries()) {
		const limit = found[i + 1]?.header ?? directory.offset;
		if (leastEnd > limit) {
			throw new CheckpointError(
				`${file}: record ${entry.name} of ${entry.size} bytes at ${entry.header} overlaps what begins at ${limit}`,
			);
		}
		if (entries.has(entry.name)) {
			throw new CheckpointError(
				`${file}: the record ${entry.name} is there twice`,
			);
		}
		entries.set(entry.name, { ...entry, limit });
	}
	return entries;
}

/** [size, stored size, header offset] of a directory entry; what does not fit into 32 bits stands in the ZIP64 extra, in this order. */
function wideFields(
	view: DataView,
	entry: number,
	extra: number,
	extraEnd: number,
	where: string,
): [size: number, stored: number, header: number] {
	const fields = [24, 20, 42].map((at) => view.getUint32(entry + at, true)) as [
		number,
		number,
		number,
	];
	for (let at = extra; at + 4 <= extraEnd; ) {
		const id = view.getUint16(at, true);
		const end = at + 4 + view.getUint16(at + 2, true);
		if (end > extraEnd) break;
		if (id === EXTRA_64) {
			let value = at + 4;
			for (const [i, field] of fields.entries()) {
				if (field !== 0xffffffff) continue;
				if (value + 8 > end) {
					throw new CheckpointError(`${where}: its ZIP64 sizes are cut short`);
				}
				fields[i] = integer64(view, value, where);
				value += 8;
			}
			return fields;
		}
		at = end;
	}
	return fields;
}

/** Where an entry's data begins: the local header has its own extra field, with which torch aligns the data to 64 bytes. */
async function dataStart(source: ByteSource, entry: ZipEntry): Promise<number> {
	const local = viewOf(await source.read(entry.header, LOCAL_BYTES));
	const start =
		entry.header +
		LOCAL_BYTES +
		local.getUint16(26, true) +
		local.getUint16(28, true);
	if (local.getUint32(0, true) !== LOCAL || start + entry.size > entry.limit) {
		throw new CheckpointError(
			`${source.name}: record ${entry.name} of ${entry.size} bytes does not fit between its header at ${entry.header} and ${entry.limit}`,
		);
	}
	return start;
}

function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function integer64(view: DataView, at: number, where: string): number {
	const value = view.getBigUint64(at, true);
	if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
		throw new CheckpointError(
			`${where}: ZIP64 number ${value} is larger than any file`,
		);
	}
	return Number(value);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
	let crc = byte;
	for (let bit = 0; bit < 8; bit++) {
		crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
	}
	return crc;
});

function crc32(bytes: Uint8Array): number {
	let crc = 0xffffffff;
	for (const byte of bytes) {
		crc = CRC_TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
	}
	return (crc ^ 0xffffffff) >>> 0;
}
