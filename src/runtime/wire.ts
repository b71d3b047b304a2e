/** What a structured clone cannot carry, described by something that it can. */
export type Description = Readonly<Record<string, unknown>>;

/** A value ready to be posted: what was taken out of it is described beside the way to its place. */
export interface Packed {
	readonly value: unknown;
	readonly described: readonly {
		readonly path: readonly (string | number)[];
		readonly description: Description;
	}[];
}

/**
 * Takes out of a value what cannot be posted. Plain objects and arrays are looked through, everything else is left as it
 * is. The value itself stays as it was.
 * @param describe returns undefined for what can be posted
 */
export function pack(
	value: unknown,
	describe: (value: object) => Description | undefined,
): Packed {
	const described: Packed["described"][number][] = [];
	const walk = (
		value: unknown,
		path: readonly (string | number)[],
	): unknown => {
		if (typeof value === "function" || isObject(value)) {
			const description = describe(value);
			if (description) {
				described.push({ path, description });
				return undefined;
			}
			// Long lists of numbers are most of what is posted.
			if (Array.isArray(value))
				return value.some(
					(item) => typeof item === "object" || typeof item === "function",
				)
					? value.map((item, i) => walk(item, [...path, i]))
					: value;
			if (isPlain(value))
				return Object.fromEntries(
					Object.entries(value).map(([key, item]) => [
						key,
						walk(item, [...path, key]),
					]),
				);
		}
		return value;
	};
	return { value: walk(value, []), described };
}

/** Puts back what `pack` took out. Changes the packed value. */
export function unpack(
	{ value, described }: Packed,
	make: (description: Description) => unknown,
): unknown {
	const root = { value };
	for (const { path, description } of described) {
		const steps = ["value", ...path];
		const last = steps.pop()!;
		let at = root as Record<string | number, unknown>;
		for (const step of steps) at = at[step] as typeof at;
		at[last] = make(description);
	}
	return root.value;
}

/** Buffers that belong wholly to typed arrays in a value, so that they can be given away instead of copied. */
export function buffersOf(value: unknown): ArrayBuffer[] {
	if (Array.isArray(value)) return value.flatMap(buffersOf);
	return ArrayBuffer.isView(value) &&
		value.buffer instanceof ArrayBuffer &&
		value.byteLength === value.buffer.byteLength
		? [value.buffer]
		: [];
}

const isObject = (value: unknown): value is object =>
	typeof value === "object" && value !== null;

function isPlain(value: object): boolean {
	const prototype = Object.getPrototypeOf(value);
	return prototype === Object.prototype || prototype === null;
}
