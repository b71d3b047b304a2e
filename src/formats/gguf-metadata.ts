import { CheckpointError } from "../errors.ts";
import { type Cursor, cursor } from "./gguf-cursor.ts";
import { excerpt } from "./json.ts";

export type GgufScalar = number | bigint | boolean | string;
export type GgufValue = GgufScalar | readonly GgufScalar[];

/** Values by key. Arrays are decoded when they are first asked for, and then kept: a vocabulary has 10^5 entries. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** What stands for an array too long to show. */
export interface LongArray {
	readonly elements: number;
	readonly type: string;
}

/** The metadata for people: everything but long arrays. */
export type GgufOverview = Readonly<Record<string, GgufValue | LongArray>>;

/** Far beyond any vocabulary, and few enough to decode. */
const MAX_ELEMENTS = 2 ** 24;
const MAX_SHOWN_ELEMENTS = 64;
const STRING = 8;
const ARRAY = 9;
const LENGTH_BYTES = 8;

interface Fixed {
	readonly name: string;
	readonly bytes: number;
	get(view: DataView, at: number): GgufScalar;
}

/** Value types of one size, by their number. */
const FIXED: ReadonlyMap<number, Fixed> = new Map<number, Fixed>([
	[0, { name: "u8", bytes: 1, get: (v, at) => v.getUint8(at) }],
	[1, { name: "i8", bytes: 1, get: (v, at) => v.getInt8(at) }],
	[2, { name: "u16", bytes: 2, get: (v, at) => v.getUint16(at, true) }],
	[3, { name: "i16", bytes: 2, get: (v, at) => v.getInt16(at, true) }],
	[4, { name: "u32", bytes: 4, get: (v, at) => v.getUint32(at, true) }],
	[5, { name: "i32", bytes: 4, get: (v, at) => v.getInt32(at, true) }],
	[6, { name: "f32", bytes: 4, get: (v, at) => v.getFloat32(at, true) }],
	[7, { name: "bool", bytes: 1, get: (v, at) => v.getUint8(at) !== 0 }],
	[
		10,
		{ name: "u64", bytes: 8, get: (v, at) => int(v.getBigUint64(at, true)) },
	],
	[11, { name: "i64", bytes: 8, get: (v, at) => int(v.getBigInt64(at, true)) }],
	[12, { name: "f64", bytes: 8, get: (v, at) => v.getFloat64(at, true) }],
]);

/** A value that stays a byte range of the file until `get`. */
interface Stored {
	readonly get: () => GgufValue;
	/** Set for arrays. */
	readonly array?: LongArray;
}

/** Reads `count` keys and values. `bytes` is what `from` walks over. */
export function readMetadata(
	from: Cursor,
	count: number,
	bytes: Uint8Array,
	file: string,
): { metadata: GgufMetadata; overview: GgufOverview } {
	const values = new Map<string, Stored>();
	for (let i = 0; i < count; i++) {
		const key = from.string(`metadata key ${i}`);
		const what = `metadata ${excerpt(key)}`;
		if (key === "")
			throw new CheckpointError(`${file}: metadata key ${i} is empty`);
		if (values.has(key)) throw new CheckpointError(`${file}: ${what} repeats`);
		values.set(key, readValue(from, bytes, what, file));
	}
	const metadata = lazyMap(values);
	const overview = Object.fromEntries(
		[...values].map(([key, { get, array }]) => [
			key,
			array && array.elements > MAX_SHOWN_ELEMENTS ? array : get(),
		]),
	);
	return { metadata, overview };
}

function readValue(
	from: Cursor,
	bytes: Uint8Array,
	what: string,
	file: string,
): Stored {
	const type = from.u32(`the type of ${what}`);
	if (type === ARRAY) return readArray(from, bytes, what, file);
	if (type === STRING) {
		const text = from.string(what);
		return { get: () => text };
	}
	const fixed = fixedOf(type, what, file);
	const value = fixed.get(viewOf(bytes), from.skip(fixed.bytes, what));
	return { get: () => value };
}

function readArray(
	from: Cursor,
	bytes: Uint8Array,
	what: string,
	file: string,
): Stored {
	const type = from.u32(`the element type of ${what}`);
	const length = from.u64(`the length of ${what}`);
	if (length > MAX_ELEMENTS)
		throw new CheckpointError(
			`${file}: ${what} has ${length} elements, at most ${MAX_ELEMENTS} are allowed`,
		);
	if (type === STRING) {
		from.fits(length, LENGTH_BYTES, `strings of ${what}`);
		const start = from.at;
		const each = `a string of ${what}`;
		for (let i = 0; i < length; i++) from.skip(from.u64(each), each);
		const range = bytes.subarray(start, from.at);
		const get = () => {
			const walk = cursor(range, range.length, file);
			return Array.from({ length }, () => walk.string(what));
		};
		return { get, array: { elements: length, type: "string" } };
	}
	const fixed = fixedOf(type, `an element of ${what}`, file);
	const start = from.skip(length * fixed.bytes, what);
	const view = viewOf(bytes);
	const get = () =>
		Array.from({ length }, (_, i) => fixed.get(view, start + i * fixed.bytes));
	return { get, array: { elements: length, type: fixed.name } };
}

function fixedOf(type: number, what: string, file: string): Fixed {
	const fixed = FIXED.get(type);
	if (!fixed)
		throw new CheckpointError(
			`${file}: ${what} has the type ${type}, which is ${type === ARRAY ? "an array inside an array" : "not known"}`,
		);
	return fixed;
}

function lazyMap(values: ReadonlyMap<string, Stored>): GgufMetadata {
	const decoded = new Map<string, GgufValue>();
	const get = (key: string) => {
		const value = values.get(key);
		if (value && !decoded.has(key)) decoded.set(key, value.get());
		return decoded.get(key);
	};
	const all = () =>
		new Map([...values.keys()].map((key) => [key, get(key) as GgufValue]));
	const map: GgufMetadata = {
		get,
		size: values.size,
		has: (key) => values.has(key),
		keys: () => values.keys(),
		values: () => all().values(),
		entries: () => all().entries(),
		[Symbol.iterator]: () => all().entries(),
		forEach: (visit) => {
			for (const [key, value] of all()) visit(value, key, map);
		},
	};
	return map;
}

/** 64-bit integers as numbers where a number holds them. */
function int(value: bigint): number | bigint {
	const number = Number(value);
	return Number.isSafeInteger(number) ? number : value;
}

function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
