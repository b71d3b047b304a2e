import { describe, expect, test } from "vitest";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import { fixture, fixtureSource } from "./fixture.ts";
import { string, u32, u64, type WriteTensor, writeGguf } from "./write-gguf.ts";

describe.each(["all_types_v3", "all_types_v3_align64"])("%s.gguf", (name) => {
	const open = () => openCheckpoint(fixtureSource(`gguf/${name}.gguf`));

	test("has values of every type", async () => {
		const { metadata } = await open();
		expect(metadata).toMatchObject({
			"general.name": "tiny fixture",
			"t.u8": 200,
			"t.i8": -100,
			"t.u16": 60000,
			"t.i16": -30000,
			"t.u32": 4000000000,
			"t.i32": -2000000000,
			"t.f32": Math.fround(0.1),
			"t.bool": true,
			"t.str": "héllo ✓",
			"t.u64": 9223372036854775813n,
			"t.i64": -4611686018427387905n,
			"t.f64": 0.1,
			"t.arr_i32": [1, -2, 3],
			"t.arr_f32": [0.5, -1.5],
			"t.arr_str": ["a", "bc", "", "日本"],
			"t.arr_bool": [true, false],
			"tokenizer.ggml.tokens": ["<s>", "</s>", "x"],
		});
	});

	test("has tensors of every type, byte for byte", async () => {
		const { tensors } = await open();
		const types = [...tensors.keys()].slice(0, -2).map((t) => t.slice(2));
		expect(types).toHaveLength(17);
		for (const type of types) {
			const tensor = tensors.get(`t.${type}`);
			expect(tensor).toMatchObject({ type, shape: [3, 512] });
			const rows = fixture(`ggml/${type}.bin`);
			same(await tensor!.read(), rows);
			const memory = new Uint8Array(new SharedArrayBuffer(20));
			same(await tensor!.read(7, 13, memory), rows.subarray(7, 20));
			same(memory.subarray(0, 13), rows.subarray(7, 20));
		}
		expect(tensors.get("t.vec")?.shape).toEqual([5]);
		expect(tensors.get("t.3d")?.shape).toEqual([2, 3, 4]);
	});
});

describe("a split file", () => {
	const file = (no: number) => `split-0000${no}-of-00003.gguf`;
	const parts = Object.fromEntries(
		[1, 2, 3].map((no) => [file(no), fixture(`gguf/${file(no)}`)]),
	);
	const open = (
		files: Record<string, Uint8Array | undefined>,
		name = file(1),
	) => {
		const entries = Object.entries({ ...parts, ...files });
		const present = entries.filter(([, bytes]) => bytes) as [
			string,
			Uint8Array,
		][];
		const repository = bytesRepository(Object.fromEntries(present), "split");
		return openCheckpoint(repository, { file: name });
	};

	test("is the union of its parts", async () => {
		const checkpoint = await openCheckpoint(bytesRepository(parts));
		expect(checkpoint.metadata["general.name"]).toBe("split fixture");
		for (let no = 0; no < 5; no++) {
			const tensor = checkpoint.tensors.get(`blk.${no}.w`);
			expect(tensor?.shape).toEqual([2, 4]);
			const values = new Float32Array((await tensor!.read()).slice().buffer);
			expect(values).toEqual(new Float32Array(8).fill(no));
		}
		expect(checkpoint.tensors.get("blk.4.w")?.file).toBe(file(3));
	});

	test("is refused without one of them", async () => {
		await expect(open({ [file(3)]: undefined })).rejects.toThrow(
			`part ${file(3)} is missing`,
		);
		const alone = bytesSource(parts[file(1)]!, file(1));
		await expect(openCheckpoint(alone)).rejects.toThrow(
			`part ${file(2)} is missing`,
		);
	});

	test("is opened at its first part, under its own name", async () => {
		await expect(open({}, file(2))).rejects.toThrow("open the first part");
		await expect(
			open({ "renamed.gguf": parts[file(1)] }, "renamed.gguf"),
		).rejects.toThrow("under the name it was written with");
	});

	test("is refused with a part in another's place", async () => {
		await expect(open({ [file(3)]: parts[file(2)] })).rejects.toThrow(
			"split.no is 1 of 3, expected 2 of 3",
		);
		await expect(
			open({ [file(2)]: fixture("gguf/all_types_v3.gguf") }),
		).rejects.toThrow("split.no is undefined of undefined");
	});

	test("is refused with a tensor too many or too few", async () => {
		const part = (tensors: WriteTensor[]) =>
			writeGguf({
				keys: [
					["split.no", { u32: 2 }],
					["split.count", { u32: 3 }],
				],
				tensors,
			});
		const tensor = (name: string) => ({ name, sizes: [4], type: 0 });
		await expect(open({ [file(3)]: part([]) })).rejects.toThrow(
			"its 3 parts hold 4 tensors, split.tensors.count is 5",
		);
		await expect(
			open({ [file(3)]: part([tensor("blk.0.w")]) }),
		).rejects.toThrow(`tensor blk.0.w is already in ${file(1)}`);
	});
});

test("types whose values cannot be computed still have names and sizes", async () => {
	const types = {
		IQ2_XXS: [16, 66],
		IQ1_M: [29, 56],
		Q4_0_4_4: [31, 144],
		IQ4_NL_4_4: [36, 144],
		NVFP4: [40, 144],
		Q1_0: [41, 36],
		Q2_0: [42, 72],
	};
	for (const [name, [type, bytes]] of Object.entries(types)) {
		const file = writeGguf({
			tensors: [{ name: "a", sizes: [256], type: type! }],
		});
		const { tensors } = await openCheckpoint(bytesSource(file));
		expect(tensors.get("a")).toMatchObject({ type: name, bytes });
	}
});

test("a long header is read on, and its arrays are decoded when asked for", async () => {
	const words = Array.from({ length: 120_000 }, (_, i) => `word ${i}`);
	const raw = [u32(8), u64(BigInt(words.length)), ...words.map(string)];
	const file = writeGguf({
		keys: [
			[
				"tokenizer.ggml.tokens",
				{ type: 9, raw: new Uint8Array(Buffer.concat(raw)) },
			],
			["general.name", { string: "last" }],
		],
	});
	expect(file.length).toBeGreaterThan(2 ** 21);
	const checkpoint: Checkpoint = await openCheckpoint(bytesSource(file));
	expect(checkpoint.metadata).toEqual({
		"tokenizer.ggml.tokens": { elements: 120_000, type: "string" },
		"general.name": "last",
	});
	if (checkpoint.tokenizer?.kind !== "gguf") throw new Error("no vocabulary");
	const { metadata } = checkpoint.tokenizer;
	expect(metadata.get("tokenizer.ggml.tokens")).toEqual(words);
	expect([...metadata.keys()]).toEqual(Object.keys(checkpoint.metadata));
	expect([...metadata][1]).toEqual(["general.name", "last"]);
});

function same(found: Uint8Array, expected: Uint8Array): void {
	expect(found.length).toBe(expected.length);
	expect(Buffer.compare(found, expected)).toBe(0);
}
