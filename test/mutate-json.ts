export type Json = Record<string, unknown>;

/** Values that are wrong nearly everywhere. */
export const WRONG: readonly unknown[] = [
	undefined,
	null,
	true,
	0,
	-1,
	1e9,
	1.5,
	"",
	"x",
	"a b",
	[],
	[null],
	["a"],
	{},
	{ type: "x" },
	{ type: "Sequence" },
	{ type: "Sequence", decoders: [null], pretokenizers: [null] },
	{ Regex: "(" },
	{ String: 1 },
];

/** Entries of an object that are looked at: vocabularies have too many. */
const MOST_ENTRIES = 12;

/** Paths to every node, but not into vocabularies and merges beyond a few of them. */
export function paths(
	node: unknown,
	most = MOST_ENTRIES,
	path: string[] = [],
): string[][] {
	if (typeof node !== "object" || node === null) return [path];
	const below = Object.entries(node).slice(0, most);
	return [
		path,
		...below.flatMap(([key, value]) => paths(value, most, [...path, key])),
	];
}

/** A copy with another value at a path. */
export function replaced(
	node: unknown,
	path: readonly string[],
	by: unknown,
): unknown {
	const [key, ...rest] = path;
	if (key === undefined) return by;
	const copy = (
		Array.isArray(node) ? [...node] : { ...(node as Json) }
	) as Json;
	const value = replaced(copy[key], rest, by);
	if (value === undefined) delete copy[key];
	else copy[key] = value;
	return copy;
}

/** A copy with one or two nodes below the top replaced by wrong values, or by what is elsewhere in it. */
export function mutateJson(
	original: Json,
	random: (below: number) => number,
): Json {
	const places = paths(original, 64).filter((path) => path.length > 0);
	const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
	const valueAt = (path: readonly string[]) =>
		path.reduce<unknown>((node, key) => (node as Json)?.[key], original);
	let copy: unknown = original;
	for (let changes = 1 + random(2); changes > 0; changes--) {
		const by = random(4) === 0 ? valueAt(pick(places)) : pick(WRONG);
		const path = pick(places);
		const parent = path
			.slice(0, -1)
			.reduce<unknown>((node, key) => (node as Json)?.[key], copy);
		if (typeof parent === "object" && parent !== null)
			copy = replaced(copy, path, by);
	}
	return copy as Json;
}
