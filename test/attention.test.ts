import { describe, expect, test } from "vitest";
import {
	ATTENTION_PARTIAL_TILE,
	ATTENTION_SEGMENT,
	ATTENTION_TILE,
	type CacheType,
	cacheTypes,
	pageBytes,
	RESERVED_BYTES,
} from "../src/engine/layouts.ts";
import { type Build, builds, call, grow } from "./reference/builds.ts";
import { Operands } from "./reference/operands.ts";

// What makes prefill, decode, batches and any number of threads agree to the last bit: a row's result depends on nothing
// but its query and the keys it sees.

const POSITIONS = 1200;
const PAGES = Math.ceil(POSITIONS / 64);
const SEGMENTS = Math.ceil(POSITIONS / ATTENTION_SEGMENT);
const HEADS = 6;

interface Shape {
	readonly kv_heads: number;
	readonly d: number;
	readonly window: number;
}

const shapes: Shape[] = [
	{ kv_heads: 2, d: 64, window: 0 },
	{ kv_heads: 6, d: 8, window: 0 },
	{ kv_heads: 3, d: 40, window: 500 },
	{ kv_heads: 1, d: 12, window: 64 },
];

/** [first row, rows] of the steps of a prompt that comes in chunks. */
const chunks = [
	[0, 7],
	[7, 58],
	[65, 500],
	[565, 635],
] as const;
/** Rows around the ends of pages and segments, each a step of its own. */
const singles = [0, 1, 63, 64, 500, 511, 512, 1023, 1024, 1199];
/** Where steps of a few rows begin. */
const drafts = [0, 508, 1020, 1192];

/** A cache of one sequence of POSITIONS random keys and values, and a query for each of them. */
function setUp(
	build: Build,
	type: CacheType,
	shape: Shape,
	pageId: (i: number) => number,
) {
	const { kv_heads, d, window } = shape;
	const o = new Operands(1);
	const page_bytes = pageBytes(type, kv_heads, d);
	const every = Array.from({ length: POSITIONS }, (_, i) => i);
	const k = o.normal(POSITIONS * kv_heads * d);
	const v = o.normal(POSITIONS * kv_heads * d);
	const q = o.normal(POSITIONS * HEADS * d);
	const y = o.output("f32", POSITIONS * HEADS * d);
	const partial = o.output("f32", 8 * HEADS * SEGMENTS * (d + 20));
	const positions = o.i32(every);
	const cache = {
		kv: o.put(new Uint8Array(PAGES * page_bytes).fill(255)),
		table: o.i32(Array.from({ length: PAGES }, (_, i) => pageId(i))),
		sequence: o.i32(every.map(() => 0)),
		kv_heads,
		d,
		pages: PAGES,
		page_bytes,
	};
	const scratch = o.scratch();
	grow(build, o.image().length);
	const reserved = new Uint8Array(
		build.memory.buffer,
		0,
		RESERVED_BYTES,
	).slice();
	new Uint8Array(build.memory.buffer).set(o.image());
	new Uint8Array(build.memory.buffer).set(reserved);

	const write = { ...cache, k, v, position: positions };
	call(build, `kv_write_${type}`, write, [[0, POSITIONS * kv_heads]]);

	const row = HEADS * d;
	const result = (t: number, rows: number) =>
		new Uint32Array(build.memory.buffer, y + 4 * t * row, rows * row).slice();
	const step = (t: number, rows: number) => ({
		...cache,
		y: y + 4 * t * row,
		q: q + 4 * t * row,
		position: positions + 4 * t,
		last: positions + 4 * t,
		rows,
		heads: HEADS,
		scale: 1 / Math.sqrt(d),
		window,
		scratch,
	});
	return {
		/** Bits of the attention of rows [t, t + rows) as a step of their own. */
		onePass(t: number, rows: number): Uint32Array {
			const units = Math.ceil(rows / ATTENTION_TILE) * kv_heads;
			call(build, `attention_${type}`, step(t, rows), [[0, units]]);
			return result(t, rows);
		},
		/** The same in two halves. */
		split(t: number, rows: number): Uint32Array {
			const units =
				Math.ceil(rows / ATTENTION_PARTIAL_TILE) * kv_heads * SEGMENTS;
			const args = { ...step(t, rows), partial, segments: SEGMENTS };
			call(build, `attention_partial_${type}`, args, [[0, units]]);
			call(build, "attention_merge_f32", args, [[0, rows * HEADS]]);
			return result(t, rows);
		},
	};
}

for (const build of builds) {
	for (const type of Object.keys(cacheTypes) as CacheType[]) {
		describe.each(shapes)(
			`${build.target}, ${type} pages, $kv_heads kv heads of $d, window $window`,
			(shape) => {
				test("chunks, single rows, the split form and other pages give the bits of a prompt", () => {
					const plain = setUp(build, type, shape, (i) => i);
					const prompt = plain.onePass(0, POSITIONS);
					const row = HEADS * shape.d;
					const expectRows = (found: Uint32Array, t: number, how: string) => {
						const wrong = found.findIndex(
							(bits, i) => bits !== prompt[t * row + i],
						);
						const where = `row ${t + Math.floor(wrong / row)} of rows from ${t} on, ${how}`;
						expect(wrong, where).toBe(-1);
					};
					expect(new Float32Array(prompt.buffer).every(Number.isFinite)).toBe(
						true,
					);
					for (const [t, rows] of chunks)
						expectRows(plain.onePass(t, rows), t, "a chunk");
					for (const t of singles) {
						expectRows(plain.onePass(t, 1), t, "alone");
						expectRows(plain.split(t, 1), t, "alone and split");
					}
					for (const t of drafts) expectRows(plain.split(t, 8), t, "split");
					const moved = setUp(build, type, shape, (i) => (7 * i + 3) % PAGES);
					expectRows(moved.onePass(0, POSITIONS), 0, "other pages");
				});
			},
		);
	}
}
