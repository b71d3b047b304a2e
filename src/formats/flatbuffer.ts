// Reading FlatBuffers by field number, for files whose schema is known in part.
//
//   table at p:  i32, the distance back to its vtable; then its fields
//   vtable:      u16 own bytes, u16 table bytes, u16 offset of each field within the table, 0 where it has its default
//   string, vector, table within a table: u32, the distance forward.   Strings and vectors begin with a u32 count.
import { CheckpointError } from "../errors.ts";

/** A table; fields are named by their slot in the schema, and have a default where the file has none. */
export interface Table {
	u8(slot: number): number;
	i8(slot: number): number;
	i16(slot: number): number;
	u32(slot: number, missing?: number): number;
	i32(slot: number): number;
	/** Infinity past 2^53. */
	u64(slot: number): number;
	/** A bigint past 2^53. */
	i64(slot: number): number | bigint;
	f64(slot: number): number;
	string(slot: number): string | undefined;
	table(slot: number): Table | undefined;
	tables(slot: number): Table[];
	i32s(slot: number): number[];
	/** As u64. */
	u64s(slot: number): number[];
	u8s(slot: number): number[];
	/** Where a vector of elements of so many bytes lies in the buffer: its first byte, and how many there are. */
	extent(
		slot: number,
		size: number,
	): { offset: number; bytes: number } | undefined;
}

/** Tables, elements and characters that are read at most: offsets may lead to the same place a million times. */
const MAX_ITEMS = 1 << 23;

/** Reads the root table with `read`. Throws CheckpointError where the buffer points outside itself or goes in circles. */
export function readFlatbuffer<T>(
	bytes: Uint8Array,
	where: string,
	read: (root: Table) => T,
): T {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	let left = MAX_ITEMS;
	const spend = (items: number) => {
		left -= items;
		if (left < 0) throw new RangeError(`more than ${MAX_ITEMS} items`);
	};
	const number64 = (value: bigint) =>
		value > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(value);

	const tableAt = (at: number): Table => {
		spend(1);
		const vtable = at - view.getInt32(at, true);
		const vtableBytes = view.getUint16(vtable, true);
		const field = (slot: number): number => {
			const entry = 4 + 2 * slot;
			if (entry + 2 > vtableBytes) return 0;
			const offset = view.getUint16(vtable + entry, true);
			return offset === 0 ? 0 : at + offset;
		};
		const follow = (slot: number): number => {
			const found = field(slot);
			return found && found + view.getUint32(found, true);
		};
		const scalar = <V>(slot: number, missing: V, get: (at: number) => V): V => {
			const found = field(slot);
			return found === 0 ? missing : get(found);
		};
		/** Elements of a vector, each of so many bytes. */
		const vector = <V>(
			slot: number,
			size: number,
			get: (at: number) => V,
		): V[] => {
			const found = follow(slot);
			if (found === 0) return [];
			const count = view.getUint32(found, true);
			spend(count);
			if (found + 4 + count * size > bytes.length) {
				throw new RangeError(`a vector of ${count}`);
			}
			return Array.from({ length: count }, (_, i) => get(found + 4 + i * size));
		};
		return {
			u8: (slot) => scalar(slot, 0, (p) => view.getUint8(p)),
			i8: (slot) => scalar(slot, 0, (p) => view.getInt8(p)),
			i16: (slot) => scalar(slot, 0, (p) => view.getInt16(p, true)),
			u32: (slot, missing = 0) =>
				scalar(slot, missing, (p) => view.getUint32(p, true)),
			i32: (slot) => scalar(slot, 0, (p) => view.getInt32(p, true)),
			u64: (slot) =>
				scalar(slot, 0, (p) => number64(view.getBigUint64(p, true))),
			i64: (slot) =>
				scalar<number | bigint>(slot, 0, (p) => {
					const value = view.getBigInt64(p, true);
					const number = Number(value);
					return Number.isSafeInteger(number) ? number : value;
				}),
			f64: (slot) => scalar(slot, 0, (p) => view.getFloat64(p, true)),
			string(slot) {
				const found = follow(slot);
				if (found === 0) return undefined;
				const end = found + 4 + view.getUint32(found, true);
				spend(end - found);
				if (end > bytes.length) throw new RangeError("a string");
				return new TextDecoder().decode(bytes.subarray(found + 4, end));
			},
			table(slot) {
				const found = follow(slot);
				return found === 0 ? undefined : tableAt(found);
			},
			tables: (slot) =>
				vector(slot, 4, (p) => tableAt(p + view.getUint32(p, true))),
			i32s: (slot) => vector(slot, 4, (p) => view.getInt32(p, true)),
			u64s: (slot) =>
				vector(slot, 8, (p) => number64(view.getBigUint64(p, true))),
			u8s: (slot) => vector(slot, 1, (p) => view.getUint8(p)),
			extent(slot, size) {
				const found = follow(slot);
				if (found === 0) return undefined;
				const length = size * view.getUint32(found, true);
				if (found + 4 + length > bytes.length) throw new RangeError("bytes");
				return { offset: found + 4, bytes: length };
			},
		};
	};
	try {
		return read(tableAt(view.getUint32(0, true)));
	} catch (cause) {
		if (!(cause instanceof RangeError)) throw cause;
		throw new CheckpointError(
			`${where}: its flatbuffer points outside its ${bytes.length} bytes, or holds too much`,
			{ cause },
		);
	}
}
