import { type CacheType, pageBytes } from "../../src/engine/layouts.ts";
import type { Entry, View } from "./entry.ts";
import { exact } from "./entry.ts";
import { floatToHalf, halfToFloat } from "./half.ts";
import type { Operands } from "./operands.ts";
import { rope_f32 } from "./rope.ts";

const { fround } = Math;

/** Index of a head's element (channel j of position `slot`) among all its elements; keys first, then values. */
const keyIndex = (slot: number, j: number, d: number) =>
	(Math.floor(slot / 16) * d + j) * 16 + (slot % 16);
const valueIndex = (slot: number, j: number, d: number) =>
	64 * d + (Math.floor(j / 16) * 64 + slot) * 16 + (j % 16);

/** Where a page keeps a head. */
interface Place {
	readonly type: CacheType;
	readonly page: number;
	readonly head: number;
	readonly d: number;
}

function parts(memory: View, { type, page, head, d }: Place) {
	const bytes = pageBytes(type, 1, d);
	const start = page + head * bytes;
	return {
		start,
		scales: type === "i8" ? memory.f32(start + bytes - 512) : undefined,
	};
}

/** Reads element `index` of a head. */
function get(memory: View, place: Place, index: number): number {
	const { start } = parts(memory, place);
	if (place.type === "f32") return memory.f32(start)[index]!;
	if (place.type === "f16") return halfToFloat(memory.u16(start)[index]!);
	return memory.i8(start)[index]!;
}

function set(memory: View, place: Place, index: number, value: number): void {
	const { start } = parts(memory, place);
	if (place.type === "f32") memory.f32(start)[index] = value;
	else if (place.type === "i8") memory.i8(start)[index] = value;
	else {
		const finite = Math.abs(value) >= 65504 ? Math.sign(value) * 65504 : value;
		memory.u16(start)[index] = floatToHalf(finite);
	}
}

/** The key or value at `slot` of a head, in float64. */
export function readVector(
	memory: View,
	place: Place,
	slot: number,
	kind: "key" | "value",
): number[] {
	const { scales } = parts(memory, place);
	const index = kind === "key" ? keyIndex : valueIndex;
	const scale = scales?.[kind === "key" ? slot : 64 + slot] ?? 1;
	return Array.from(
		{ length: place.d },
		(_, j) => scale * get(memory, place, index(slot, j, place.d)),
	);
}

/** Stores the key or value at `slot` of a head. */
export function writeVector(
	memory: View,
	place: Place,
	slot: number,
	kind: "key" | "value",
	vector: Float32Array,
): void {
	const { scales } = parts(memory, place);
	const { d } = place;
	const index = kind === "key" ? keyIndex : valueIndex;
	let inverse = 1;
	if (scales) {
		const largest = Math.max(...vector.map(Math.abs));
		scales[kind === "key" ? slot : 64 + slot] = fround(largest / 127);
		inverse = largest === 0 ? 0 : fround(127 / largest);
	}
	for (let j = 0; j < d; j++) {
		const x = vector[j]!;
		set(
			memory,
			place,
			index(slot, j, d),
			scales ? roundToEven(fround(x * inverse)) : x,
		);
	}
	for (let j = d; kind === "value" && j % 16 > 0; j++)
		set(memory, place, index(slot, j, d), 0);
}

function roundToEven(x: number): number {
	const down = Math.floor(x);
	if (x - down === 0.5) return down % 2 === 0 ? down : down + 1;
	return Math.round(x);
}

type KvWrite = "kv_write_f32" | "kv_write_f16" | "kv_write_i8";

type RopeKvWrite =
	| "rope_kv_write_f32"
	| "rope_kv_write_f16"
	| "rope_kv_write_i8";
type Args = Parameters<Entry<KvWrite>["run"]>[0];

function write(
	type: CacheType,
	args: Args,
	lo: number,
	hi: number,
	memory: View,
) {
	const { kv, table, sequence, position, kv_heads, d } = args;
	for (let u = lo; u < hi; u++) {
		const t = Math.floor(u / kv_heads);
		const at = memory.i32(position)[t]!;
		const entryAt = memory.i32(sequence)[t]! * args.pages + Math.floor(at / 64);
		const page = kv + memory.i32(table)[entryAt]! * args.page_bytes;
		const place = { type, page, head: u % kv_heads, d };
		const key = memory.f32(args.k).subarray(u * d, u * d + d);
		const value = memory.f32(args.v).subarray(u * d, u * d + d);
		writeVector(memory, place, at % 64, "key", key);
		writeVector(memory, place, at % 64, "value", value);
	}
}

function entry(type: CacheType): Entry<KvWrite> {
	return {
		run: (args, lo, hi, memory) => write(type, args, lo, hi, memory),
		units: ({ kv_heads }) => kv_heads * POSITIONS.length,
		grain: 1,
		tolerance: exact,
		cases: {
			"two sequences, heads of 8": (o) => operands(o, type, 3, 8, 0),
			"heads of 13, pages that hold other layers too": (o) =>
				operands(o, type, 1, 13, 4096),
			"heads of 64": (o) => operands(o, type, 2, 64, 0),
		},
	};
}

function ropeEntry(type: CacheType): Entry<RopeKvWrite> {
	return {
		run(args, lo, hi, memory) {
			const { k, cos_sin, kv_heads, d } = args;
			rope_f32.run({ x: k, cos_sin, heads: kv_heads, d }, lo, hi, memory);
			write(type, args, lo, hi, memory);
		},
		units: ({ kv_heads }) => kv_heads * POSITIONS.length,
		grain: 1,
		tolerance: exact,
		cases: {
			"two sequences, heads of 8": (o) => rotated(o, type, 3, 8),
			"heads of 20": (o) => rotated(o, type, 2, 20),
		},
	};
}

const SEQUENCES = [0, 0, 0, 1, 1];
const POSITIONS = [62, 63, 64, 0, 129];

/** Keys and values of five rows of two sequences, and pages to put them into. */
function operands(
	o: Operands,
	type: CacheType,
	kv_heads: number,
	d: number,
	others: number,
) {
	const page_bytes = pageBytes(type, kv_heads, d) + others;
	const rows = POSITIONS.length;
	const k = o.gaussians(rows * kv_heads * d);
	const v = o.gaussians(rows * kv_heads * d, 1e-3);
	k.set([0, -0, 1e-7, -1e-7, 6e-5, 1e6, -1e6, 65519]);
	v.fill(0, 0, d);
	return {
		kv: o.output("bytes", 6 * page_bytes),
		k: o.inPlace("f32", k),
		v: o.f32(v),
		table: o.i32([4, 0, -1, 5, -1, 2]),
		sequence: o.i32(SEQUENCES),
		position: o.i32(POSITIONS),
		kv_heads,
		d,
		pages: 3,
		page_bytes,
	};
}

/** Turns by quarters, so that the reference's products are as exact as the kernel's, whether it fuses them or not. */
function rotated(o: Operands, type: CacheType, kv_heads: number, d: number) {
	const quarters = Array.from({ length: POSITIONS.length * d }, (_, i) => {
		const turn = ((Math.floor(i / d) + (i % (d / 2))) * Math.PI) / 2;
		return Math.round(i % d < d / 2 ? Math.cos(turn) : Math.sin(turn));
	});
	return { ...operands(o, type, kv_heads, d, 0), cos_sin: o.f32(quarters) };
}

export const kv_write_f32: Entry<"kv_write_f32"> = entry("f32");
export const kv_write_f16: Entry<"kv_write_f16"> = entry("f16");
export const kv_write_i8: Entry<"kv_write_i8"> = entry("i8");
export const rope_kv_write_f32: Entry<"rope_kv_write_f32"> = ropeEntry("f32");
export const rope_kv_write_f16: Entry<"rope_kv_write_f16"> = ropeEntry("f16");
export const rope_kv_write_i8: Entry<"rope_kv_write_i8"> = ropeEntry("i8");
