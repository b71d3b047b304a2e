import {
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { inspect } from "../src/cli/inspect.ts";
import { npyHeader } from "../src/cli/npy.ts";
import {
	CheckpointError,
	Model,
	OptionError,
	type TensorPiece,
	UnsupportedError,
} from "../src/runtime/server.ts";
import { Model as WebModel } from "../src/runtime/web.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import { fixture, fixtureJson, fixtureNpy } from "./fixture.ts";
import { type WriteTensor, writeGguf } from "./write-gguf.ts";

const NANO = "models/nano-smollm3";
const encode = (value: unknown) =>
	new TextEncoder().encode(JSON.stringify(value));

/** A GGUF file of matrices [3, 512] whose values NumPy wrote down, one of each type. */
const GGML_TYPES: Readonly<Record<string, number>> = {
	F32: 0,
	F16: 1,
	Q4_0: 2,
	Q4_1: 3,
	Q5_0: 6,
	Q5_1: 7,
	Q8_0: 8,
	Q2_K: 10,
	Q3_K: 11,
	Q4_K: 12,
	Q5_K: 13,
	Q6_K: 14,
	IQ4_NL: 20,
	IQ4_XS: 23,
	BF16: 30,
	TQ1_0: 34,
	TQ2_0: 35,
	MXFP4: 39,
};
const gguf = writeGguf({
	keys: [
		["general.architecture", { string: "llama" }],
		["llama.embedding_length", { u32: 512 }],
		["llama.attention.head_count", { u32: 2 }],
	],
	tensors: Object.entries(GGML_TYPES).map(
		([name, type]): WriteTensor => ({
			name: `${name}.weight`,
			sizes: [512, 3],
			type,
			data: fixture(`ggml/${name}.bin`),
		}),
	),
});

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
	new Uint8Array(buffer, byteOffset, byteLength);

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "nibble-inspect-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What the command prints. */
async function run(
	flags: Parameters<typeof inspect.run>[0],
	operands: readonly string[] = [],
): Promise<string> {
	const printed: string[] = [];
	const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
		printed.push(String(text));
		return true;
	});
	try {
		expect(await inspect.run(flags, operands)).toBe(0);
	} finally {
		spy.mockRestore();
	}
	return printed.join("");
}

async function collect(
	pieces: AsyncIterable<TensorPiece>,
): Promise<TensorPiece[]> {
	const all: TensorPiece[] = [];
	for await (const piece of pieces) all.push(piece);
	return all;
}

describe("Model.readTensor", () => {
	test.each(Object.keys(GGML_TYPES))("decodes %s", async (type) => {
		const pieces = await collect(Model.readTensor(gguf, `${type}.weight`));
		expect(pieces).toEqual([
			{
				name: `${type}.weight`,
				scheme: type,
				shape: [3, 512],
				offset: 0,
				values: fixtureNpy(`ggml/${type}.deq.npy`),
			},
		]);
	});

	test("decodes bitsandbytes, which stores a matrix in several tensors", async () => {
		const golden = fixtureJson("bnb/bnb.json");
		const source = bytesRepository({
			"model.safetensors": fixture("bnb/bnb.safetensors"),
			"config.json": encode({}),
		});
		for (const [module, first] of [
			["nf4_dq", golden.mods.nf4_dq.dequant_bf16_first256],
			["int8", golden.mods.int8.dequant_first256],
		]) {
			const name = `${module}.weight`;
			const [piece] = await collect(Model.readTensor(source, name));
			expect(piece!.shape).toEqual(golden.shape);
			expect([...piece!.values.subarray(0, 256)]).toEqual(first);
		}
	});

	test("comes in pieces of a few megabytes that make up the whole", async () => {
		const [rows, cols] = [700, 2048];
		const numbers = Float32Array.from({ length: rows * cols }, (_, i) => i);
		const file = writeGguf({
			keys: [["general.architecture", { string: "llama" }]],
			tensors: [
				{
					name: "big.weight",
					sizes: [cols, rows],
					type: 0,
					data: new Uint8Array(numbers.buffer),
				},
			],
		});
		const reads: number[] = [];
		const bytes = bytesSource(file, "big.gguf");
		const source = {
			...bytes,
			read(offset: number, length: number, into?: Uint8Array) {
				reads.push(length);
				return bytes.read(offset, length, into);
			},
		};
		let next = 0;
		for await (const { offset, values } of Model.readTensor(
			source,
			"big.weight",
		)) {
			expect(offset).toBe(next);
			const expected = numbers.subarray(next, next + values.length);
			expect(Buffer.compare(bytesOf(values), bytesOf(expected))).toBe(0);
			next += values.length;
		}
		expect(next).toBe(rows * cols);
		expect(Math.max(...reads)).toBeLessThanOrEqual(4 * 2 ** 20);
		expect(reads.filter((length) => length > 2 ** 20)).toHaveLength(2);
	});

	test("closes what it opened, also when it is left early or fails", async () => {
		let closed = 0;
		const source = {
			...bytesSource(gguf, "all.gguf"),
			close: async () => {
				closed++;
			},
		};
		for await (const _ of Model.readTensor(source, "Q4_K.weight")) break;
		expect(closed).toBe(1);
		await expect(collect(Model.readTensor(source, "Q4_K"))).rejects.toThrow(
			OptionError,
		);
		expect(closed).toBe(2);
	});

	test("says what is wrong with a name", async () => {
		const read = (name: string) => collect(Model.readTensor(NANO, name));
		await expect(read("embed_tokens")).rejects.toThrow(
			'has no tensor "embed_tokens" among its 38, expected a name such as model.embed_tokens.weight',
		);
		await expect(read("nothing")).rejects.toThrow(/expected a name such as \w/);
	});

	test("refuses what no scheme reads", async () => {
		const source = bytesRepository({
			"model.safetensors": fixture("safetensors/all_dtypes.safetensors"),
			"config.json": encode({}),
		});
		const { tensors } = await Model.inspect(source);
		const unread = tensors.find((t) => t.scheme === undefined)!;
		await expect(
			collect(Model.readTensor(source, unread.name)),
		).rejects.toThrow(UnsupportedError);
	});

	test("ends with the signal's reason", async () => {
		const reason = new Error("enough");
		await expect(
			collect(
				Model.readTensor(gguf, "Q4_K.weight", {
					signal: AbortSignal.abort(reason),
				}),
			),
		).rejects.toBe(reason);
	});
});

describe("nibble inspect --tensor --save", () => {
	test.each(["Q4_K", "MXFP4", "F32"])(
		"writes the file that NumPy writes of %s",
		async (type) => {
			const model = join(folder, "all.gguf");
			const save = join(folder, `${type}.npy`);
			writeFileSync(model, gguf);
			const out = await run({ tensor: `${type}.weight`, save }, [model]);
			expect(out).toBe(`${save}: ${type}.weight [3, 512], stored as ${type}\n`);
			expect(new Uint8Array(readFileSync(save))).toEqual(
				fixture(`ggml/${type}.deq.npy`),
			);
		},
	);

	test("says the same as JSON", async () => {
		const save = join(folder, "norm.npy");
		const tensor = "model.norm.weight";
		const out = await run({ tensor, save, json: true, model: NANO });
		expect(JSON.parse(out)).toEqual({
			file: save,
			name: tensor,
			scheme: "BF16",
			shape: [256],
		});
		expect(readFileSync(save).toString("latin1")).toContain("'shape': (256,),");
	});

	test("leaves no file where there is no such tensor, and no checkpoint damaged", async () => {
		const before = readdirSync(folder);
		const saves = (tensor: string, save: string) =>
			run({ model: NANO, tensor, save });
		await expect(saves("no", join(folder, "no.npy"))).rejects.toThrow(
			'no tensor "no"',
		);
		await expect(
			saves("model.norm.weight", join(folder, "model.safetensors")),
		).rejects.toThrow("expected a name that ends in .npy");
		await expect(run({ tensor: "model.norm.weight" }, [NANO])).rejects.toThrow(
			"expected --tensor and --save together",
		);
		await expect(
			saves("model.norm.weight", join(folder, "none", "a.npy")),
		).rejects.toThrow(/--save cannot be written: ENOENT/);
		expect(readdirSync(folder)).toEqual(before);
	});

	test.each([
		[[], "()"],
		[[5], "(5,)"],
		[[2, 3, 4], "(2, 3, 4)"],
		[[123456789, 987654321, 123456789], "(123456789, 987654321, 123456789)"],
	])("a header for the shape %j", (shape, written) => {
		const header = npyHeader(shape);
		expect(header.length % 64).toBe(0);
		expect(new DataView(header.buffer).getUint16(8, true)).toBe(
			header.length - 10,
		);
		const text = new TextDecoder("latin1").decode(header.subarray(10));
		expect(text.trimEnd()).toBe(
			`{'descr': '<f4', 'fortran_order': False, 'shape': ${written}, }`,
		);
		expect(text.endsWith("\n")).toBe(true);
	});
});

describe("an ExecuTorch program", () => {
	const PTE = "pte/synthetic_qb4w.pte";
	const path = `test/fixtures/${PTE}`;
	const golden = fixtureJson("pte/synthetic_qb4w.json");
	const linear = {
		name: golden.weight_key,
		shape: golden.shape,
		type: "qbint4+BF16",
		scheme: "XNNPACK int4 g32",
		layout: "qd8_qb4w_bf16",
		bytes: golden.q.length / 2 + 2 * golden.scale_bf16_as_f32.length,
	};

	test.each([
		["a path", path],
		["bytes", fixture(PTE)],
	])("is looked into, given as %s", async (_, source) => {
		const inspection = await Model.inspect(source);
		expect(inspection).toMatchObject({
			container: "pte",
			architecture: undefined,
			unsupported: expect.stringContaining(
				"load the checkpoint that it was exported from",
			),
			bytes: linear.bytes + 48,
			metadata: { get_max_seq_len: 2048 },
			program: { version: 0, plans: [{ name: "forward" }] },
		});
		expect(inspection.tensors).toContainEqual(linear);
		expect(inspection.tensors).toContainEqual({
			name: "model.embed_tokens.weight",
			shape: [6, 8],
			type: "I8",
			scheme: "I8",
			layout: undefined,
			bytes: 48,
		});
	});

	test("is refused by everything that takes a model", async () => {
		const message = /load the checkpoint that it was exported from/;
		await expect(Model.load(path)).rejects.toThrow(message);
		await expect(Model.estimate(path)).rejects.toThrow(UnsupportedError);
	});

	test("gives the values of its constants", async () => {
		const pieces = await collect(Model.readTensor(path, golden.weight_key));
		expect(pieces).toHaveLength(1);
		const [{ scheme, shape, values }] = pieces as [TensorPiece];
		expect({ scheme, shape }).toEqual({
			scheme: "XNNPACK int4 g32",
			shape: golden.shape,
		});
		const expected = golden.q.map((q: number, i: number) =>
			Math.fround(q * golden.scale_bf16_as_f32[Math.floor(i / 32)]),
		);
		expect([...values]).toEqual(expected);
	});

	test("alone in a folder is no checkpoint", async () => {
		const folder = bytesRepository({ "a.pte": fixture(PTE) }, "folder");
		await expect(Model.load(folder)).rejects.toThrow(
			/^folder: holds no checkpoint: .*, only programs for ExecuTorch such as a.pte/,
		);
		const { container } = await Model.inspect(folder, { file: "a.pte" });
		expect(container).toBe("pte");
	});

	test("is closed again, also when it is damaged", async () => {
		let closed = 0;
		const source = (bytes: Uint8Array) => ({
			...bytesSource(bytes, "x.pte"),
			close: async () => {
				closed++;
			},
		});
		const bytes = fixture(PTE);
		await Model.inspect(source(bytes));
		expect(closed).toBe(1);
		await expect(Model.inspect(source(bytes.slice(0, 99)))).rejects.toThrow(
			CheckpointError,
		);
		expect(closed).toBe(2);
	});

	test("is printed by nibble inspect", async () => {
		const out = await run({}, [path]);
		for (const line of [
			/checkpoint +test\/fixtures\/pte\/synthetic_qb4w.pte \(pte\)/,
			/cannot run +.*load the checkpoint that it was exported from/,
			/get_max_seq_len +2048/,
			/^forward$/m,
			/inputs +F32 \[1, 64\]/,
			/outputs +F32 \[1, 4\]/,
			/delegate +XnnpackBackend, .*, 2 nodes/,
			/1 linear layer qbint4 g32 \[4, 64\]/,
		])
			expect(out).toMatch(line);
		expect(out).not.toContain("model.embed_tokens.weight");
		expect(await run({ all: true }, [path])).toContain(
			"model.embed_tokens.weight",
		);
		expect(await run({ config: NANO }, [path])).toMatch(
			/cannot run +.*0 calls of llama::custom_sdpa/,
		);
		const { program } = JSON.parse(await run({ json: true }, [path]));
		expect(program.metadata).toEqual({ get_max_seq_len: 2048 });
		expect(program.namedData).toHaveProperty(golden.weight_key);
		expect(program.plans[0].delegates[0].xnnpack.linears).toHaveLength(1);
	});
});

describe("Model.estimate", () => {
	test("counts stored weights, and says what fits", async () => {
		const estimate = await Model.estimate(NANO);
		const { bytes, memory } = await Model.inspect(NANO);
		expect(estimate.downloadBytes).toBe(bytes);
		expect(estimate).toMatchObject({
			weightBytes: memory!.weightBytes,
			contextTokens: memory!.contextTokens,
			fits: "availableMemory" in process ? true : undefined,
		});
		const { weightBytes, cacheBytes, activationBytes, totalBytes } = estimate;
		expect(totalBytes).toBe(weightBytes + cacheBytes + activationBytes);
		await using model = await Model.load(NANO, { threads: 1 });
		expect(model.info.weightBytes).toBe(weightBytes);
	});

	test("is the same in browsers, as is what readTensor gives", async () => {
		const options = { contextTokens: 128, threads: 1 };
		const { fits: _, ...estimate } = await Model.estimate(undefined, options);
		expect(await WebModel.estimate(undefined, options)).toEqual({
			...estimate,
			fits: undefined,
		});
		const name = "model.norm.weight";
		expect(await collect(WebModel.readTensor(undefined, name))).toEqual(
			await collect(Model.readTensor(undefined, name)),
		);
	});

	test("takes the options of load, and refuses what it refuses", async () => {
		const of = (contextTokens: number) =>
			Model.estimate(NANO, { contextTokens, threads: 1 });
		const [short, long] = [await of(64), await of(512)];
		expect(long.cacheBytes).toBe(8 * short.cacheBytes);
		expect(short.contextTokens).toBe(64);
		await expect(of(0)).rejects.toThrow(OptionError);
		await expect(Model.estimate(gguf)).rejects.toThrow(CheckpointError);
		await expect(Model.estimate("./nowhere")).rejects.toThrow("./nowhere");
	});

	test("reads no weights", async () => {
		const reads: [string, number][] = [];
		const files = Object.fromEntries(
			readdirSync(NANO).map((name) => [
				name,
				new Uint8Array(readFileSync(join(NANO, name))),
			]),
		);
		const repository = bytesRepository(files);
		await Model.estimate({
			...repository,
			async open(name) {
				const source = await repository.open(name);
				return (
					source && {
						...source,
						read(offset, length, into) {
							reads.push([name, length]);
							return source.read(offset, length, into);
						},
					}
				);
			},
		});
		const weights = reads.filter(([name]) => name === "model.safetensors");
		expect(weights.length).toBeGreaterThan(0);
		expect(weights.reduce((sum, [, length]) => sum + length, 0)).toBeLessThan(
			20_000,
		);
	});

	test("is part of what nibble inspect prints", async () => {
		const flags = { model: NANO, "context-tokens": 256 };
		const { estimate, memory } = JSON.parse(
			await run({ ...flags, json: true }),
		);
		expect(estimate.contextTokens).toBe(256);
		expect(estimate.weightBytes).toBe(memory.weightBytes);
		expect(await run(flags)).toMatch(
			/memory in all +[\d.]+ MB with a text of 256 tokens/,
		);
	});
});
