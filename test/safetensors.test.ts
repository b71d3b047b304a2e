import { describe, expect, test } from "vitest";
import { CheckpointError, UnsupportedError } from "../src/errors.ts";
import type { Folder } from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { safetensors } from "../src/formats/safetensors.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import { fixture, fixtureJson, fixtureSource } from "./fixture.ts";

const alone: Folder = { file: "x", open: async () => undefined };

/** What torch reads from the same tensors. */
const expected = fixtureJson("torch/dtypes_expected.json");

describe("the file that safetensors 0.5.2 wrote", async () => {
	const { tensors, metadata } = await safetensors.open(
		fixtureSource("safetensors/all_dtypes.safetensors"),
		alone,
	);
	const read = async (name: string) =>
		(await tensors.get(name)!.read()).slice().buffer;

	test("has its metadata", () => {
		expect(metadata).toEqual({ format: "pt", note: "héllo" });
	});

	test.each([
		["f32", Float32Array],
		["f64", Float64Array],
		["i8", Int8Array],
		["u8", Uint8Array],
		["i16", Int16Array],
		["i32", Int32Array],
		["scalar", Float32Array],
		["empty", Float32Array],
	] as const)("has the values of %s", async (name, Numbers) => {
		const tensor = tensors.get(name);
		expect(tensor?.shape).toEqual(expected[name].shape);
		expect(tensor?.type.toLowerCase()).toMatch(/^[fiu]\d+$/);
		expect([...new Numbers(await read(name))]).toEqual(
			[expected[name].values].flat(),
		);
	});

	test("has the bits of bf16, f16, i64, bool and float8", async () => {
		const brain = new Uint16Array(await read("bf16"));
		const single = new Uint32Array(await read("f32"));
		expect([...brain]).toEqual([...single].map((bits) => bits >>> 16));
		expect(new Uint16Array(await read("f16"))[8]).toBe(0x3c00);
		expect(new BigInt64Array(await read("i64"))[0]).toBe(-(2n ** 63n));
		expect([...new Uint8Array(await read("b"))]).toEqual([1, 0, 1]);
		expect(tensors.get("f8e4m3")).toMatchObject({ type: "F8_E4M3", bytes: 2 });
	});
});

describe("a sharded checkpoint", () => {
	const folder = "safetensors/sharded/";
	const shards = {
		"config.json": json({ model_type: "tiny" }),
		"model.safetensors.index.json": fixture(
			`${folder}model.safetensors.index.json`,
		),
		"model-00001-of-00002.safetensors": fixture(
			`${folder}model-00001-of-00002.safetensors`,
		),
		"model-00002-of-00002.safetensors": fixture(
			`${folder}model-00002-of-00002.safetensors`,
		),
	};
	const open = (files: Record<string, Uint8Array>) =>
		openCheckpoint(bytesRepository({ ...shards, ...files }, "tiny"));
	const index = (map: unknown) => ({
		"model.safetensors.index.json": json({ weight_map: map }),
	});

	test("has the tensors of all its files", async () => {
		const { tensors, config } = await open({});
		expect([...tensors.keys()].sort()).toEqual(["a.weight", "b.weight"]);
		expect(tensors.get("a.weight")).toMatchObject({
			shape: [2, 3],
			type: "BF16",
			file: "model-00001-of-00002.safetensors",
		});
		expect(config.model_type).toBe("tiny");
	});

	test.each([
		["../x", "expected one beside the index"],
		["/etc/passwd", "expected one beside the index"],
		["a/../../x", "expected one beside the index"],
		["..\\x", "expected one beside the index"],
		["C:x", "expected one beside the index"],
		["https://example.com/x", "expected one beside the index"],
		["", "expected one beside the index"],
		["a/", "expected one beside the index"],
		[7, "expected one beside the index"],
		["model-00003-of-00002.safetensors", "missing beside it"],
		["model-00002-of-00002.safetensors", '"a.weight" is not in model-00002'],
		["config.json", "neither safetensors nor GGUF"],
	])("whose index names the file %j is refused", async (file, why) => {
		await expect(open(index({ "a.weight": file }))).rejects.toThrow(why);
	});

	test("whose index names nothing is refused", async () => {
		await expect(open(index({}))).rejects.toThrow("names no file");
		await expect(open(index(["a"]))).rejects.toThrow("weight_map");
	});
});

describe("a file is refused that", () => {
	const f32 = (
		begin: number,
		end: number,
		shape: unknown = [(end - begin) / 4],
	) => ({
		dtype: "F32",
		shape,
		data_offsets: [begin, end],
	});

	test.each<[string, Uint8Array, string]>([
		["is empty", new Uint8Array(0), "0 bytes are too few"],
		["ends in its first number", new Uint8Array(7), "7 bytes are too few"],
		[
			"announces a header of 2^60 bytes",
			announce(2n ** 60n),
			"1152921504606846976 bytes is announced, at most 100000000",
		],
		[
			"announces more than it has",
			announce(5000n),
			"the file has 9 in all: it is truncated",
		],
		["has no JSON", withHeader("{"), "not valid JSON"],
		[
			"has JSON that is not UTF-8",
			withHeader(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])),
			"not valid JSON",
		],
		[
			"has JSON nested a million deep",
			withHeader(`{"a":${"[".repeat(1e6)}`),
			"not valid JSON",
		],
		["is a list", withHeader("[]"), "a JSON object was expected"],
		[
			"has metadata that is not text",
			file({ __metadata__: { a: 1 } }),
			"__metadata__",
		],
		[
			"describes a tensor by a number",
			file({ a: 1 }),
			'tensor "a": its description',
		],
		[
			"leaves out dtype",
			file({ a: { shape: [], data_offsets: [0, 4] } }),
			"dtype is missing",
		],
		[
			"leaves out shape",
			file({ a: { dtype: "F32", data_offsets: [0, 4] } }),
			"shape is undefined",
		],
		[
			"has a negative size",
			file({ a: f32(0, 4, [-1, -1]) }, 4),
			"shape is [-1,-1]",
		],
		["has half a row", file({ a: f32(0, 4, [0.5, 2]) }, 4), "shape is [0.5,2]"],
		[
			"has more elements than numbers count",
			file({ a: f32(0, 4, [2 ** 40, 2 ** 40]) }, 4),
			"too many elements",
		],
		[
			"has more bytes than numbers count",
			file({ a: f32(0, 4, [2 ** 50]) }, 4),
			"too many elements",
		],
		[
			"has 100 dimensions",
			file({ a: f32(0, 4, Array(100).fill(1)) }, 4),
			"shape is [1,1",
		],
		[
			"has an end before its begin",
			file({ a: f32(8, 4, [1]) }, 8),
			"hold -4 bytes",
		],
		[
			"has an offset too large",
			file({ a: f32(0, 2 ** 60, [1]) }, 4),
			"data_offsets is [0,1152921504606847000]",
		],
		[
			"has one offset",
			file({ a: { dtype: "F32", shape: [], data_offsets: [0] } }, 4),
			"data_offsets is [0]",
		],
		[
			"has another number of bytes",
			file({ a: f32(0, 8, [1]) }, 8),
			"hold 8 bytes, F32 [1] needs 4",
		],
		[
			"has overlapping tensors",
			file({ a: f32(0, 8), b: f32(4, 12) }, 12),
			'"b" begins at byte 4 of the data, "a" ends at 8',
		],
		[
			"has a hole",
			file({ a: f32(0, 4), b: f32(8, 12) }, 12),
			'"b" begins at byte 8 of the data, "a" ends at 4',
		],
		[
			"has a hole at the start",
			file({ a: f32(4, 8) }, 8),
			"the header ends at 0",
		],
		["has a tensor beyond its end", file({ a: f32(0, 8) }, 4), "truncated"],
		[
			"has bytes behind the last tensor",
			file({ a: f32(0, 4) }, 5),
			"take 4 bytes, the file holds 5",
		],
		[
			"has a name twice with other data",
			withHeader(
				`{"a":${JSON.stringify(f32(0, 4))},"a":${JSON.stringify(f32(4, 8))}}`,
				8,
			),
			'"a" begins at byte 4',
		],
		[
			"ends within a byte",
			file({ a: { dtype: "F4", shape: [3], data_offsets: [0, 2] } }, 2),
			"do not end on a byte",
		],
	])("%s", async (_, bytes, why) => {
		const opening = safetensors.open(
			bytesSource(bytes, "x.safetensors"),
			alone,
		);
		await expect(opening).rejects.toThrow(why);
		await expect(opening).rejects.toThrow(CheckpointError);
		await expect(opening).rejects.toThrow("x.safetensors");
	});

	test("has an unknown dtype", async () => {
		const bytes = file({ a: { ...f32(0, 4), dtype: "constructor" } }, 4);
		await expect(safetensors.open(bytesSource(bytes), alone)).rejects.toThrow(
			UnsupportedError,
		);
	});

	test("is cut anywhere", async () => {
		const whole = fixture("safetensors/all_dtypes.safetensors");
		for (let length = 0; length < whole.length; length++)
			await expect(
				safetensors.open(bytesSource(whole.subarray(0, length)), alone),
			).rejects.toThrow(CheckpointError);
	});
});

test("a tensor is not read beyond its end", async () => {
	const bytes = file(
		{
			a: { dtype: "U8", shape: [4], data_offsets: [0, 4] },
			b: { dtype: "U8", shape: [4], data_offsets: [4, 8] },
		},
		8,
	);
	const { tensors } = await safetensors.open(bytesSource(bytes), alone);
	const a = tensors.get("a")!;
	expect(await a.read(1, 3)).toEqual(new Uint8Array([1, 2, 3]));
	await expect(a.read(1, 4)).rejects.toThrow(
		"4 bytes at 1 of tensor a were asked for, it has 4",
	);
	await expect(a.read(-1, 2)).rejects.toThrow(CheckpointError);
	await expect(a.read(5)).rejects.toThrow(CheckpointError);
});

test("names such as __proto__ are names", async () => {
	const entry = { dtype: "U8", shape: [1], data_offsets: [0, 1] };
	const bytes = withHeader(`{"__proto__":${JSON.stringify(entry)}}`, 1);
	const { tensors } = await safetensors.open(bytesSource(bytes), alone);
	expect([...tensors.keys()]).toEqual(["__proto__"]);
});

function json(value: unknown): Uint8Array {
	return new TextEncoder().encode(JSON.stringify(value));
}

/** A file with the given header and so many bytes of data, 0, 1, 2 … */
function file(header: unknown, dataBytes = 0): Uint8Array {
	return withHeader(json(header), dataBytes);
}

function withHeader(header: string | Uint8Array, dataBytes = 0): Uint8Array {
	const bytes =
		typeof header === "string" ? new TextEncoder().encode(header) : header;
	const all = new Uint8Array(8 + bytes.length + dataBytes);
	new DataView(all.buffer).setBigUint64(0, BigInt(bytes.length), true);
	all.set(bytes, 8);
	for (let i = 0; i < dataBytes; i++) all[8 + bytes.length + i] = i;
	return all;
}

function announce(bytes: bigint): Uint8Array {
	const all = new Uint8Array(9);
	new DataView(all.buffer).setBigUint64(0, bytes, true);
	all[8] = 0x7b;
	return all;
}
