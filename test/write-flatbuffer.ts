/** A field of a table: a number of a size, a string, a vector, or tables. */
export type Field =
	| { readonly u8: number }
	| { readonly i16: number }
	| { readonly u32: number }
	| { readonly u64: number }
	| { readonly f64: number }
	| { readonly text: string }
	/** `count` little-endian elements. */
	| { readonly vector: Uint8Array; readonly count: number }
	| { readonly table: Fields }
	| { readonly tables: readonly Fields[] };

/** Fields by their slot. */
export type Fields = Readonly<Record<number, Field>>;

/**
 * A flatbuffer. Each vtable is before its table, and what a table points at behind it, unaligned.
 * @param room zero bytes before the first table, for a header
 */
export function writeFlatbuffer(root: Fields, room = 0): Uint8Array {
	const bytes: number[] = [];
	const number = (value: number, size: number, at = bytes.length) => {
		for (let i = 0; i < size; i++)
			bytes[at + i] = Number((BigInt(value) >> BigInt(8 * i)) & 255n);
	};
	/** Leaves room for a distance, and returns what fills it in. */
	const distance = () => {
		const at = bytes.length;
		number(0, 4);
		return (target: number) => number(target - at, 4, at);
	};

	const table = (fields: Fields): number => {
		const slots = Object.keys(fields).map(Number);
		const vtable = bytes.length;
		const vtableBytes = 4 + 2 * (Math.max(-1, ...slots) + 1);
		number(0, vtableBytes);
		const start = bytes.length;
		number(vtableBytes, 4);
		const pointed: (() => void)[] = [];
		for (const slot of slots) {
			const field = fields[slot]!;
			number(bytes.length - start, 2, vtable + 4 + 2 * slot);
			if ("u8" in field) number(field.u8, 1);
			else if ("i16" in field) number(field.i16, 2);
			else if ("u32" in field) number(field.u32, 4);
			else if ("u64" in field) number(field.u64, 8);
			else if ("f64" in field)
				bytes.push(...new Uint8Array(Float64Array.of(field.f64).buffer));
			else {
				const fill = distance();
				pointed.push(() => fill(behind(field)));
			}
		}
		number(vtableBytes, 2, vtable);
		number(bytes.length - start, 2, vtable + 2);
		for (const write of pointed) write();
		return start;
	};

	const behind = (
		field: Extract<
			Field,
			| { text: string }
			| { vector: Uint8Array }
			| { table: Fields }
			| { tables: readonly Fields[] }
		>,
	): number => {
		if ("table" in field) return table(field.table);
		const start = bytes.length;
		if ("tables" in field) {
			number(field.tables.length, 4);
			const fills = field.tables.map(distance);
			for (const [i, fill] of fills.entries()) fill(table(field.tables[i]!));
			return start;
		}
		const content =
			"text" in field ? new TextEncoder().encode(field.text) : field.vector;
		number("text" in field ? content.length : field.count, 4);
		for (const byte of content) number(byte, 1);
		return start;
	};

	const fill = distance();
	number(0, room);
	fill(table(root));
	return new Uint8Array(bytes);
}

export const i32s = (values: readonly number[]): Field => ({
	vector: new Uint8Array(Int32Array.from(values).buffer),
	count: values.length,
});
