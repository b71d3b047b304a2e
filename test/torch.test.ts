import { describe, expect, test } from "vitest";
import { CheckpointError, UnsupportedError } from "../src/errors.ts";
import type {
	Contents,
	Folder,
	StoredTensor,
} from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { torch } from "../src/formats/torch.ts";
import { findMatrix } from "../src/quant/scheme.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import {
	checkpointOf,
	fixture,
	fixtureJson,
	fixtureSource,
} from "./fixture.ts";
import {
	type Python,
	writeArchive,
	writePickle,
	writeTorch,
} from "./write-torch.ts";
import { writeZip, type ZipRecord } from "./write-zip.ts";

const alone: Folder = { file: "made.bin", open: async () => undefined };
const noConfig = new TextEncoder().encode("{}");
const open = (path: string): Promise<Contents> =>
	torch.open(fixtureSource(path), alone);
const openBytes = (bytes: Uint8Array): Promise<Contents> =>
	torch.open(bytesSource(bytes, "made.bin"), alone);

async function values(tensor: StoredTensor): Promise<unknown[]> {
	const bytes = await tensor.read();
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const bf16 = (i: number) =>
		new Float32Array(
			new Uint32Array([view.getUint16(i, true) << 16]).buffer,
		)[0];
	const item: Record<string, [number, (at: number) => unknown]> = {
		F64: [8, (i) => view.getFloat64(i, true)],
		F32: [4, (i) => view.getFloat32(i, true)],
		BF16: [2, (i) => bf16(i)],
		I64: [8, (i) => view.getBigInt64(i, true)],
		I32: [4, (i) => view.getInt32(i, true)],
		I16: [2, (i) => view.getInt16(i, true)],
		U16: [2, (i) => view.getUint16(i, true)],
		I8: [1, (i) => view.getInt8(i)],
		U8: [1, (i) => view.getUint8(i)],
		BOOL: [1, (i) => view.getUint8(i) === 1],
	};
	const [size, get] = item[tensor.type] ?? [1, (i) => bytes[i]];
	return Array.from({ length: bytes.length / size }, (_, i) => get(i * size));
}

const TYPES: Record<string, string> = {
	float64: "F64",
	float32: "F32",
	float16: "F16",
	bfloat16: "BF16",
	float8_e4m3fn: "F8_E4M3",
	float8_e5m2: "F8_E5M2",
	int64: "I64",
	int32: "I32",
	int16: "I16",
	int8: "I8",
	uint8: "U8",
	uint16: "U16",
	bool: "BOOL",
	complex64: "C64",
};

describe("torch", () => {
	test.each(["dtypes_dict", "dtypes_odict"])(
		"%s: every dtype",
		async (name) => {
			const { tensors } = await open(`torch/${name}.bin`);
			const expected = fixtureJson("torch/dtypes_expected.json");
			expect([...tensors.keys()]).toEqual(Object.keys(expected));
			for (const [key, want] of Object.entries<{
				dtype: string;
				shape: number[];
				values: unknown[];
			}>(expected)) {
				const tensor = tensors.get(key) as StoredTensor;
				expect(tensor.type, key).toBe(TYPES[want.dtype]);
				expect(tensor.shape, key).toEqual(want.shape);
				if (/F16$|F8|C64/.test(tensor.type) && tensor.type !== "BF16") continue;
				const got = await values(tensor);
				expect(got.map(String), key).toEqual(want.values.map(String));
			}
		},
	);

	test("float8, float16 and complex bytes", async () => {
		const { tensors } = await open("torch/dtypes_dict.bin");
		const bytes = async (name: string) => [
			...((await tensors.get(name)?.read()) ?? []),
		];
		expect(await bytes("f8e4m3")).toEqual([0x30, 0x7e]); // 0.5, 448
		expect(await bytes("f8e5m2")).toEqual([0x38, 0xfb]); // 0.5, −57344
		expect((await bytes("f16")).slice(0, 6)).toEqual([0, 0, 0, 0x30, 0, 0x34]); // 0, 1/8, 1/4
		expect(await bytes("c64")).toEqual([0, 0, 128, 63, 0, 0, 0, 64]); // 1 + 2i
	});

	test("a strided tensor is read in pieces", async () => {
		const { tensors } = await open("torch/dtypes_dict.bin");
		const tensor = tensors.get("nc") as StoredTensor;
		const whole = await tensor.read();
		const into = new Uint8Array(64);
		expect(await tensor.read(12, 24, into)).toEqual(whole.slice(12, 36));
		expect(into.subarray(24)).toEqual(new Uint8Array(40));
		await expect(tensor.read(40, 12)).rejects.toThrow(CheckpointError);
	});

	test("nested dicts have dotted names, other values are metadata", async () => {
		const { tensors, metadata } = await open("torch/nested.bin");
		expect([...tensors.keys()]).toEqual(["model.w"]);
		expect(metadata).toMatchObject({
			epoch: 3,
			lr: 0.001,
			neg: -5,
			big: String(2n ** 70n),
			none: null,
			t: true,
		});
	});

	test("a shard", async () => {
		const shard = "torch/sharded/pytorch_model-00001-of-00002.bin";
		const { tensors } = await open(shard);
		expect([...tensors.keys()]).toEqual(["a.weight"]);
	});

	test("shards and their index", async () => {
		const folder = "torch/sharded/";
		const files = [
			"pytorch_model.bin.index.json",
			"pytorch_model-00001-of-00002.bin",
			"pytorch_model-00002-of-00002.bin",
		].map((file) => [file, fixture(folder + file)]);
		const all = { ...Object.fromEntries(files), "config.json": noConfig };
		const checkpoint = await openCheckpoint(bytesRepository(all));
		expect(checkpoint.container).toBe("torch");
		expect([...checkpoint.tensors.keys()]).toEqual(["a.weight", "b.weight"]);
	});

	test("a quantized tensor in a shard is in parts, which its index does not name", async () => {
		const index = {
			weight_map: { "proj.weight": "1.bin", "head.bias": "1.bin" },
		};
		const checkpoint = await openCheckpoint(
			bytesRepository({
				"config.json": noConfig,
				"pytorch_model.bin.index.json": new TextEncoder().encode(
					JSON.stringify(index),
				),
				"1.bin": fixture("torchao/v0.15.0_bf16_hqq.bin"),
			}),
		);
		const found = await findMatrix(checkpoint, "proj.weight");
		expect(found?.scheme).toBe("torchao int4 g32");
	});

	test.each([
		["torch/legacy.pt", /before PyTorch 1\.6.*save it again/],
		["torch/proto4.bin", /pickle protocol 4, expected 2/],
	])("%s is refused politely", async (path, message) => {
		const error = await open(path).catch((e) => e);
		expect(error).toBeInstanceOf(UnsupportedError);
		expect(error.message).toMatch(message);
	});
});

describe("torch: what must be refused", () => {
	const refused = async (
		bytes: Uint8Array,
		message: RegExp,
		type: typeof CheckpointError | typeof UnsupportedError = CheckpointError,
	) => {
		const start = performance.now();
		const error = await openBytes(bytes).catch((e) => e);
		expect(error).toBeInstanceOf(type);
		expect(error.message).toMatch(message);
		expect(performance.now() - start).toBeLessThan(3000);
	};
	const dict = (value: Python) => writeArchive(new Map([["w", value]]));
	const floats = new Uint8Array(16);
	const tensor = (
		shape: number[],
		stride: number[],
		offset = 0,
		length = 4,
		key = "0",
	): Python => ({
		call: "torch._utils _rebuild_tensor_v2",
		args: [
			{
				persistent: [
					"storage",
					{ global: "torch FloatStorage" },
					key,
					"cpu",
					length,
				],
			},
			offset,
			shape,
			stride,
			false,
			null,
		],
	});

	test.each([
		["os system", ["id"]],
		["posix system", ["id"]],
		["builtins eval", ["1"]],
		["__builtin__ eval", ["1"]],
		["torch._utils __builtins__.eval", ["1"]],
		["torch.serialization load", ["x"]],
		["constructor prototype", []],
		["__proto__ toString", []],
		["torch.hub load", ["x"]],
	])("a call of %s", async (call, args) => {
		await refused(dict({ call, args }), /not on the list/, UnsupportedError);
	});

	test("a class that may only be mentioned is called or made", async () => {
		await refused(
			dict({ call: "torch float32", args: [] }),
			/may only mention/,
			UnsupportedError,
		);
		await refused(
			dict({ make: "collections OrderedDict" }),
			/may not contain/,
			UnsupportedError,
		);
	});

	test("opcodes outside the list", async () => {
		for (let opcode = 0; opcode < 256; opcode++) {
			if (
				"\x80.(N\x88\x89KMJ\x8aGXU)\x85\x86\x87t]ae}su\x8fqrhjcQR\x81b".includes(
					String.fromCharCode(opcode),
				)
			) {
				continue;
			}
			await refused(
				dict({ raw: [opcode, 0, 0, 0, 0] }),
				/pickle opcode 0x/,
				UnsupportedError,
			);
		}
	});

	test("bombs: depth, opcodes, memo, long integers, cut strings", async () => {
		await refused(dict({ raw: new Uint8Array(300).fill(0x28) }), /open MARKs/);
		const nested = new Uint8Array(5_000_000).fill(0x85); // ((((…,),),),)
		nested[0] = 0x29;
		await refused(dict({ raw: nested }), /more than 2097152 opcodes/);
		const lists = new Uint8Array(5_000_000).fill(0x5d);
		await refused(dict({ raw: lists }), /more than 2097152 opcodes/);
		await refused(dict({ raw: [0x6a, 255, 255, 255, 255] }), /memo 4294967295/);
		await refused(dict({ raw: [0x8a, 255, 1] }), /cut short/);
		await refused(dict({ raw: [0x58, 255, 255, 255, 255] }), /cut short/);
		await refused(dict({ raw: [0x63, 65] }), /cut short/);
	});

	test("a list within itself, shared dicts within dicts, an integer of 2,040 bits", async () => {
		const self = [0x5d, 0x71, 7, 0x68, 7, 0x61]; // a = []; a.append(a)
		const cycle = [0x7d, 0x71, 8, 0x58, 1, 0, 0, 0, 97, 0x68, 8, 0x73]; // d = {}; d["a"] = d
		let level: number[] = [0x7d]; // d = {"a": d', "b": d'}, 40 times over: 2^40 paths
		for (let i = 0; i < 40; i++) {
			const key = (name: number) => [0x58, 1, 0, 0, 0, name];
			level = [0x7d, ...key(97), ...level, 0x71, 100 + i, 0x73];
			level.push(...key(98), 0x68, 100 + i, 0x73);
		}
		const { metadata } = await openBytes(
			writeArchive(
				new Map<string, Python>([
					["w", tensor([4], [1])],
					["self", { raw: self }],
					["cycle", { raw: cycle }],
					["deep", { raw: level }],
					["long", { raw: [0x8a, 255, ...new Array(255).fill(127)] }],
				]),
				[floats],
			),
		);
		expect(Object.keys(metadata)).toEqual(["long"]);
	});

	test.each<[string, Python, RegExp]>([
		["past the storage", tensor([5], [1]), /reach element 4 of a storage of 4/],
		["offset past the storage", tensor([4], [1], 1), /reach element 4/],
		["an expanded tensor", tensor([2 ** 30, 2 ** 20], [0, 0]), /repeats/],
		[
			"2^60 elements",
			tensor([2 ** 30, 2 ** 30], [2 ** 30, 1]),
			/reach element/,
		],
		["a negative size", tensor([-4], [1]), /expected a count/],
		["a storage longer than its record", tensor([4], [1], 0, 5), /16 bytes/],
		[
			"a storage that is not there",
			tensor([4], [1], 0, 4, "../1"),
			/not in the archive/,
		],
		[
			"sizes without strides",
			tensor([2, 2], [1]),
			/2 dimensions and 1 strides/,
		],
		[
			"a dict made twice",
			{ raw: [0x7d, 0x28, 0x4b, 1, 0x4e, 0x4b, 1, 0x4e, 0x75] },
			/key 1 twice/,
		],
	])("%s", async (_, value, message) => {
		await refused(writeArchive(new Map([["w", value]]), [floats]), message);
	});

	test("something other than a dict of tensors", async () => {
		await refused(writeArchive([1, 2]), /holds a tuple of 2/);
		await refused(dict("x"), /holds no tensor/);
	});

	test.each([
		[
			"v1",
			/activations quantized by .*_int8_asymm_per_token_quant with a dict of 1, expected no quant_kwargs/,
		],
		[
			"v2",
			/w is stored as Int8Tensor with act_quant_scale; inputs can be floats/,
		],
	] as const)("a scale for all inputs, %s", async (generation, message) => {
		const plain = (dtype: string, shape: number[], bytes: number) => ({
			dtype,
			shape,
			data: new Uint8Array(bytes),
		});
		const bytes = writeTorch(
			{
				w: {
					...{ bits: 8, dtype: "float32", shape: [2, 4], block: 4 },
					dynamic: true,
					inputScale: plain("float32", [1], 4),
					codes: plain("int8", [2, 4], 8),
					scale: plain("float32", [2, 1], 8),
					zeroPoint: plain("int8", [2, 1], 2),
				},
			},
			generation,
		);
		const finding = async () =>
			findMatrix(checkpointOf(await openBytes(bytes)), "w");
		await expect(finding()).rejects.toThrow(UnsupportedError);
		await expect(finding()).rejects.toThrow(message);
	});

	test("a program, another byte order", async () => {
		const program = writeZip([
			{ name: "m/data.pkl", data: writePickle(new Map()) },
			{ name: "m/constants.pkl", data: new Uint8Array(1) },
		]);
		await refused(program, /TorchScript/, UnsupportedError);
		const big = writeZip([
			{ name: "m/data.pkl", data: writePickle(new Map()) },
			{ name: "m/byteorder", data: new TextEncoder().encode("big") },
		]);
		await refused(big, /byte order "big"/, UnsupportedError);
	});
});

describe("torch: archives that lie", () => {
	const pickle = writePickle(new Map());
	const made = (lie: ZipRecord["lie"]) =>
		writeZip([
			{ name: "m/data.pkl", data: pickle },
			{ name: "m/data/0", data: new Uint8Array(64), ...(lie && { lie }) },
		]);
	const message = async (bytes: Uint8Array) => {
		const error = await openBytes(bytes).catch((e) => e);
		expect(error).toSatisfy(
			(e) => e instanceof CheckpointError || e instanceof UnsupportedError,
		);
		return error.message;
	};

	test("sizes, offsets, methods", async () => {
		expect(await message(made({ size: 65536 }))).toMatch(/overlaps/);
		expect(await message(made({ header: 0 }))).toMatch(/overlaps/);
		expect(await message(made({ header: 2 ** 31 }))).toMatch(/overlaps/);
		expect(await message(made({ method: 8 }))).toMatch(/compressed/);
		expect(await message(made({ size: 2 ** 30, stored: 64 }))).toMatch(
			/compressed/,
		);
		expect(await message(made({ flags: 1 }))).toMatch(/encrypted/);
	});

	test("a record twice, no pickle, two pickles", async () => {
		const record = { name: "m/data.pkl", data: pickle };
		expect(await message(writeZip([record, record]))).toMatch(/there twice/);
		expect(await message(writeZip([]))).toMatch(/0 records named/);
		const other = { name: "n/data.pkl", data: pickle };
		expect(await message(writeZip([record, other]))).toMatch(/2 records/);
	});

	test("every truncation", async () => {
		const bytes = fixtureSource("torch/nested.bin");
		const all = await bytes.read(0, bytes.size);
		for (let length = 4; length < all.length; length += 7) {
			await message(all.slice(0, length));
		}
	});

	test("a damaged pickle fails its checksum", async () => {
		const bytes = fixtureSource("torch/nested.bin");
		const all = await bytes.read(0, bytes.size);
		all[70]! ^= 1;
		expect(await message(all)).toMatch(/checksum/);
	});
});
