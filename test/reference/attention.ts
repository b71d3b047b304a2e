import {
	ATTENTION_FULL_TILE,
	ATTENTION_PARTIAL_TILE,
	ATTENTION_SEGMENT,
	ATTENTION_TILE,
	type CacheType,
	PAGE_POSITIONS,
	pageBytes,
} from "../../src/engine/layouts.ts";
import type { Entry, Tolerance, View } from "./entry.ts";
import { readVector, writeVector } from "./kv.ts";
import { type Operands, viewOf } from "./operands.ts";

/** Sums of some hundred products of about 1 in f32, and e^x of scores up to about 10. */
const tolerance: Tolerance = { absolute: 4e-6, relative: 2e-6 };

/** m = max score, l = Σ e^(score − m) and acc = Σ e^(score − m) · value over the keys that `attend` was given. */
function attend(
	q: Float32Array,
	keys: readonly number[][],
	values: readonly number[][],
	scale: number,
) {
	const scores = keys.map(
		(k) => k.reduce((sum, x, j) => sum + x * q[j]!, 0) * scale,
	);
	const m = Math.max(-Infinity, ...scores);
	const weights = scores.map((s) => Math.exp(s - m));
	const acc = Array.from(q, (_, j) =>
		values.reduce((sum, v, s) => sum + weights[s]! * v[j]!, 0),
	);
	return { m, l: weights.reduce((a, b) => a + b, 0), acc };
}

type Paged = "attention_f32" | "attention_f16" | "attention_i8";
type Partial =
	| "attention_partial_f32"
	| "attention_partial_f16"
	| "attention_partial_i8";
type PagedArgs = Parameters<Entry<Paged>["run"]>[0];

/** What head h of row t finds at positions [from, to), as far as it sees them. */
function attendRow(
	memory: View,
	type: CacheType,
	args: Omit<PagedArgs, "y">,
	t: number,
	h: number,
	from: number,
	to: number,
) {
	const { kv, table, sequence, heads, kv_heads, d, window } = args;
	const position = memory.i32(args.position)[t]!;
	const first = Math.max(from, window === 0 ? 0 : position - window + 1, 0);
	const end = Math.min(to, memory.i32(args.last)[t]! + 1);
	const keys: number[][] = [];
	const values: number[][] = [];
	for (let s = first; s < end; s++) {
		const at = memory.i32(sequence)[t]! * args.pages + Math.floor(s / 64);
		const page = kv + memory.i32(table)[at]! * args.page_bytes;
		const head = Math.floor((h * kv_heads) / heads);
		const place = { type, page, head, d };
		keys.push(readVector(memory, place, s % 64, "key"));
		values.push(readVector(memory, place, s % 64, "value"));
	}
	const q = memory.f32(args.q + 4 * (t * heads + h) * d).subarray(0, d);
	return attend(q, keys, values, args.scale);
}

/** First row of unit u: tiles come from the last one down, and in a tile head after head. */
const tileOf = (u: number, kv_heads: number, rows: number, size: number) =>
	(Math.ceil(rows / size) - 1 - Math.floor(u / kv_heads)) * size;

function paged(type: CacheType): Entry<Paged> {
	return {
		run(args, lo, hi, memory) {
			const { y, rows, heads, kv_heads, d } = args;
			for (let u = lo; u < hi; u++) {
				const t0 = tileOf(u, kv_heads, rows, ATTENTION_TILE);
				const group = heads / kv_heads;
				for (let t = t0; t < Math.min(t0 + ATTENTION_TILE, rows); t++) {
					for (let g = 0; g < group; g++) {
						const h = (u % kv_heads) * group + g;
						const all = attendRow(memory, type, args, t, h, 0, Infinity);
						const to = memory.f32(y + 4 * (t * heads + h) * d);
						for (let j = 0; j < d; j++)
							to[j] = all.l === 0 ? 0 : all.acc[j]! / all.l;
					}
				}
			}
		},
		units: ({ rows, kv_heads }) => Math.ceil(rows / ATTENTION_TILE) * kv_heads,
		grain: 1,
		tolerance,
		cases: Object.fromEntries(
			Object.entries(scenes).map(([name, scene]) => [
				name,
				(o) => ({
					y: o.output("f32", scene.rows.length * scene.heads * scene.d),
					...pagedOperands(o, type, scene),
				}),
			]),
		),
	};
}

function partial(type: CacheType): Entry<Partial> {
	return {
		run(args, lo, hi, memory) {
			const { rows, heads, kv_heads, d, segments } = args;
			const record = Math.ceil(d / 16) * 16 + 4;
			const group = heads / kv_heads;
			for (let u = lo; u < hi; u++) {
				const segment = u % segments;
				const head = Math.floor(u / segments) % kv_heads;
				const t0 = tileOf(
					Math.floor(u / segments),
					kv_heads,
					rows,
					ATTENTION_PARTIAL_TILE,
				);
				const from = segment * ATTENTION_SEGMENT;
				const to = from + ATTENTION_SEGMENT;
				for (let t = t0; t < Math.min(t0 + ATTENTION_PARTIAL_TILE, rows); t++) {
					for (let h = head * group; h < (head + 1) * group; h++) {
						const found = attendRow(memory, type, args, t, h, from, to);
						if (found.l === 0) continue;
						const at = ((t * heads + h) * segments + segment) * record;
						const out = memory.f32(args.partial + 4 * at);
						out.fill(0, 0, record);
						out.set([found.m * Math.LOG2E, found.l, 0, 0, ...found.acc]);
					}
				}
			}
		},
		units: ({ rows, kv_heads, segments }) =>
			Math.ceil(rows / ATTENTION_PARTIAL_TILE) * kv_heads * segments,
		grain: 1,
		tolerance: { absolute: 1e-5, relative: 1e-5 },
		cases: Object.fromEntries(
			Object.entries(scenes).map(([name, scene]) => [
				name,
				(o) => {
					const segments = Math.ceil(
						(scene.pages * PAGE_POSITIONS) / ATTENTION_SEGMENT,
					);
					const record = Math.ceil(scene.d / 16) * 16 + 4;
					const records = scene.rows.length * scene.heads * segments;
					return {
						partial: o.inPlace("f32", o.gaussians(records * record)),
						...pagedOperands(o, type, scene),
						segments,
					};
				},
			]),
		),
	};
}

/** Rows of a step, and the cache that they find. */
interface Scene {
	/** sequence, position, last */
	readonly rows: readonly (readonly [number, number, number])[];
	/** Positions written per sequence. */
	readonly written: readonly number[];
	readonly pages: number;
	readonly heads: number;
	readonly kv_heads: number;
	readonly d: number;
	readonly window: number;
}

/** `count` rows of a sequence from `position` on, each seeing itself and what is before. */
const causal = (sequence: number, position: number, count: number) =>
	Array.from(
		{ length: count },
		(_, i) => [sequence, position + i, position + i] as const,
	);

const scenes: Record<string, Scene> = {
	"a prompt of 70, 3 heads per kv head": {
		rows: causal(0, 0, 70),
		written: [70],
		pages: 2,
		heads: 6,
		kv_heads: 2,
		d: 16,
		window: 0,
	},
	"one row after 1,100 positions": {
		rows: causal(0, 1100, 1),
		written: [1101],
		pages: 18,
		heads: 3,
		kv_heads: 3,
		d: 64,
		window: 0,
	},
	"five rows after 1,021 positions, heads of 8": {
		rows: causal(0, 1021, 5),
		written: [1026],
		pages: 17,
		heads: 4,
		kv_heads: 1,
		d: 8,
		window: 0,
	},
	"a window of 100": {
		rows: causal(0, 90, 40),
		written: [130],
		pages: 3,
		heads: 2,
		kv_heads: 1,
		d: 32,
		window: 100,
	},
	"a window of 64 far on": {
		rows: causal(0, 600, 3),
		written: [603],
		pages: 10,
		heads: 1,
		kv_heads: 1,
		d: 40,
		window: 64,
	},
	"rows of three sequences": {
		rows: [
			...causal(2, 30, 2),
			...causal(0, 5, 1),
			...causal(1, 64, 3),
			...causal(0, 6, 1),
		],
		written: [7, 67, 32],
		pages: 2,
		heads: 4,
		kv_heads: 2,
		d: 12,
		window: 0,
	},
	"image rows that see their whole image, a row that sees nothing": {
		rows: [
			[0, 3, 3],
			[0, 4, 20],
			[0, 5, 20],
			[0, 20, 20],
			[0, 21, -1],
		],
		written: [22],
		pages: 1,
		heads: 2,
		kv_heads: 1,
		d: 24,
		window: 8,
	},
};

/** Random queries and pages; what no row may look at is NaN, and so are the ids of pages that are not there. */
function pagedOperands(o: Operands, type: CacheType, scene: Scene) {
	const { rows, written, pages, heads, kv_heads, d, window } = scene;
	const page_bytes = pageBytes(type, kv_heads, d);
	const ids = Array.from({ length: pages * written.length }, (_, i) => i);
	for (let i = ids.length - 1; i > 0; i--) {
		const j = o.integer(0, i);
		[ids[i], ids[j]] = [ids[j]!, ids[i]!];
	}
	const bytes = new Uint8Array(ids.length * page_bytes).fill(255);
	const memory = viewOf(bytes.buffer);
	const table = ids.map((id, i) => {
		const [sequence, slot] = [Math.floor(i / pages), i % pages];
		const count = Math.min(written[sequence]! - 64 * slot, 64);
		for (let head = 0; head < kv_heads; head++) {
			const place = { type, page: id * page_bytes, head, d };
			for (let s = 0; s < count; s++) {
				writeVector(memory, place, s, "key", o.gaussians(d));
				writeVector(memory, place, s, "value", o.gaussians(d));
			}
		}
		return count > 0 ? id : -1;
	});
	return {
		q: o.normal(rows.length * heads * d),
		kv: o.put(bytes),
		table: o.i32(table),
		sequence: o.i32(rows.map(([sequence]) => sequence)),
		position: o.i32(rows.map(([, position]) => position)),
		last: o.i32(rows.map(([, , last]) => last)),
		rows: rows.length,
		heads,
		kv_heads,
		d,
		pages,
		page_bytes,
		scale: 1 / Math.sqrt(d),
		window,
		scratch: o.scratch(),
	};
}

export const attention_f32: Entry<"attention_f32"> = paged("f32");
export const attention_f16: Entry<"attention_f16"> = paged("f16");
export const attention_i8: Entry<"attention_i8"> = paged("i8");
export const attention_partial_f32: Entry<"attention_partial_f32"> =
	partial("f32");
export const attention_partial_f16: Entry<"attention_partial_f16"> =
	partial("f16");
export const attention_partial_i8: Entry<"attention_partial_i8"> =
	partial("i8");

export const attention_merge_f32: Entry<"attention_merge_f32"> = {
	run(args, lo, hi, memory) {
		const { y, heads, d, window, segments } = args;
		const record = Math.ceil(d / 16) * 16 + 4;
		for (let u = lo; u < hi; u++) {
			const t = Math.floor(u / heads);
			const position = memory.i32(args.position)[t]!;
			const first = window === 0 ? 0 : Math.max(position - window + 1, 0);
			const end = memory.i32(args.last)[t]! + 1;
			const seen = Array.from({ length: segments }, (_, s) => s)
				.filter(
					(s) =>
						s * ATTENTION_SEGMENT < end && (s + 1) * ATTENTION_SEGMENT > first,
				)
				.map((s) => memory.f32(args.partial + 4 * (u * segments + s) * record));
			const m = Math.max(...seen.map((part) => part[0]!));
			const weights = seen.map((part) => 2 ** (part[0]! - m));
			const l = seen.reduce((sum, part, i) => sum + part[1]! * weights[i]!, 0);
			const out = memory.f32(y + 4 * u * d);
			for (let j = 0; j < d; j++) {
				const acc = seen.map((part, i) => part[4 + j]! * weights[i]!);
				out[j] = l === 0 ? 0 : acc.reduce((a, b) => a + b, 0) / l;
			}
		}
	},
	units: ({ d }, elements) => elements / d,
	grain: 1,
	tolerance,
	cases: {
		"no, one, four and seven segments": (o) =>
			mergeOperands(o, [-1, 0, 1000, 1600], 0, 24),
		"one row of a window, heads of 20": (o) =>
			mergeOperands(o, [1600], 600, 20),
	},
};

function mergeOperands(
	o: Operands,
	last: readonly number[],
	window: number,
	d: number,
) {
	const [heads, segments] = [2, 7];
	const record = Math.ceil(d / 16) * 16 + 4;
	const partials = Array.from(
		{ length: last.length * heads * segments },
		() => [
			o.gaussian(3),
			1 + 100 * o.random(),
			0,
			0,
			...o.gaussians(record - 4, 10),
		],
	);
	return {
		y: o.output("f32", last.length * heads * d),
		partial: o.f32(partials.flat()),
		position: o.i32(last),
		last: o.i32(last),
		heads,
		d,
		window,
		segments,
		scratch: o.scratch(),
	};
}

export const attention_full_f32: Entry<"attention_full_f32"> = {
	run({ y, q, k, v, rows, heads, d, scale }, lo, hi, memory) {
		const vectors = (address: number, head: number) =>
			Array.from({ length: rows }, (_, t) =>
				Array.from(
					memory.f32(address + 4 * (t * heads + head) * d).subarray(0, d),
				),
			);
		const tiles = Math.ceil(rows / ATTENTION_FULL_TILE);
		for (let u = lo; u < hi; u++) {
			const head = Math.floor(u / tiles);
			const [keys, values] = [vectors(k, head), vectors(v, head)];
			const t0 = (u % tiles) * ATTENTION_FULL_TILE;
			for (let t = t0; t < Math.min(t0 + ATTENTION_FULL_TILE, rows); t++) {
				const at = 4 * (t * heads + head) * d;
				const row = memory.f32(q + at).subarray(0, d);
				const { l, acc } = attend(row, keys, values, scale);
				memory.f32(y + at).set(acc.map((x) => x / l));
			}
		}
	},
	units: ({ rows, heads }) => Math.ceil(rows / ATTENTION_FULL_TILE) * heads,
	grain: 1,
	tolerance,
	cases: Object.fromEntries(
		[
			[1, 2, 8],
			[64, 3, 16],
			[149, 2, 72],
			[290, 1, 30],
			[17, 1, 336],
		].map(([rows = 0, heads = 0, d = 0]) => [
			`${rows} rows, ${heads} heads of ${d}`,
			(o) => ({
				y: o.output("f32", rows * heads * d),
				q: o.normal(rows * heads * d),
				k: o.normal(rows * heads * d),
				v: o.normal(rows * heads * d),
				rows,
				heads,
				d,
				scale: 1 / Math.sqrt(d),
				scratch: o.scratch(),
			}),
		]),
	),
};
