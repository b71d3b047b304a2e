/** A set of allowed values, with words for it. */
export interface Range<T> {
	/** Completes "expected …". */
	readonly expected: string;
	readonly has: (value: unknown) => value is T;
}

function range<T>(
	expected: string,
	has: (value: unknown) => boolean,
): Range<T> {
	return { expected, has: has as (value: unknown) => value is T };
}

export const flag = range<boolean>(
	"true or false",
	(value) => typeof value === "boolean",
);

export const integer = (low: number, high = Number.MAX_SAFE_INTEGER) =>
	range<number>(
		high === Number.MAX_SAFE_INTEGER
			? `an integer of at least ${low}`
			: `an integer from ${low} to ${high}`,
		(value) => Number.isInteger(value) && isBetween(value, low, high),
	);

/** Finite numbers with low ≤ value ≤ high. */
export const from = (low: number, high = Number.MAX_VALUE) =>
	range<number>(
		high === Number.MAX_VALUE
			? `a number of at least ${low}`
			: `a number from ${low} to ${high}`,
		(value) => isBetween(value, low, high),
	);

/** Finite numbers with low < value ≤ high. */
export const above = (low: number, high = Number.MAX_VALUE) =>
	range<number>(
		high === Number.MAX_VALUE
			? `a number above ${low}`
			: `a number above ${low}, up to ${high}`,
		(value) => isBetween(value, low, high) && value !== low,
	);

/** Finite numbers with low ≤ value < high. */
export const below = (low: number, high: number) =>
	range<number>(
		`a number from ${low}, below ${high}`,
		(value) => isBetween(value, low, high) && value !== high,
	);

function isBetween(value: unknown, low: number, high: number): boolean {
	return typeof value === "number" && value >= low && value <= high;
}

export function listOf<T>(item: Range<T>, items: string): Range<readonly T[]> {
	return range(
		`a list of ${items}`,
		(value) => Array.isArray(value) && value.every(item.has),
	);
}

export function either<A, B>(a: Range<A>, b: Range<B>): Range<A | B> {
	return range(
		`${a.expected}, or ${b.expected}`,
		(value) => a.has(value) || b.has(value),
	);
}

export function pairOf<A, B>(a: Range<A>, b: Range<B>): Range<readonly [A, B]> {
	return range(
		`[${a.expected}, ${b.expected}]`,
		(value) =>
			Array.isArray(value) &&
			value.length === 2 &&
			a.has(value[0]) &&
			b.has(value[1]),
	);
}

export const nonEmptyString = range<string>(
	"a string that is not empty",
	(value) => typeof value === "string" && value !== "",
);

export const callable = <F>() =>
	range<F>("a function", (value) => typeof value === "function");

/** What may be added to a score: +Infinity would force a token and make the other probabilities meaningless. */
export const bias = range<number>(
	"a finite number or -Infinity",
	(value) => typeof value === "number" && value < Number.POSITIVE_INFINITY,
);

export function nonEmpty<T>(list: Range<readonly T[]>): Range<readonly T[]> {
	return range(
		`${list.expected}, not empty`,
		(value) => list.has(value) && value.length > 0,
	);
}

/** A value as an error message shows it, cut to a line. */
export function show(value: unknown): string {
	const text =
		typeof value === "string" || (typeof value === "object" && value)
			? (JSON.stringify(value) ?? String(value))
			: String(value);
	return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
