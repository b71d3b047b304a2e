import { describe, expect, test } from "vitest";
import type { Checkpoint, Folder } from "../src/formats/checkpoint.ts";
import { safetensors } from "../src/formats/safetensors.ts";
import { torch } from "../src/formats/torch.ts";
import {
	findMatrix,
	matrixNames,
	type StoredMatrix,
} from "../src/quant/scheme.ts";
import {
	checkpointOf,
	checkpointWith,
	fixture,
	fixtureJson,
	fixtureNpy,
	fixtureSource,
	storedBytes,
} from "./fixture.ts";

const alone: Folder = { file: "made", open: async () => undefined };

async function open(path: string, config = {}): Promise<Checkpoint> {
	const format = path.endsWith(".safetensors") ? safetensors : torch;
	return checkpointOf(await format.open(fixtureSource(path), alone), config);
}

async function matrix(
	checkpoint: Checkpoint,
	name: string,
): Promise<StoredMatrix> {
	const found = await findMatrix(checkpoint, name);
	if (found === undefined) throw new Error(`${name} is not found`);
	return found;
}

/** Bit patterns: NaN equals NaN, and −0 differs from 0. */
const bits = (values: ArrayLike<number>) =>
	new Uint32Array(Float32Array.from(values).buffer);

/** The whole matrix, decoded in one piece; checks that pieces give the same. */
async function decoded(found: StoredMatrix): Promise<Float32Array> {
	const { rows, cols } = found;
	const whole = await found.decode(0, rows);
	expect(whole.length).toBe(rows * cols);
	for (const lo of [0, Math.floor(rows / 2), rows - 1]) {
		const piece = await found.decode(lo, rows);
		expect(bits(piece)).toEqual(bits(whole.subarray(lo * cols)));
	}
	for (const plane of found.planes) {
		const all = await plane.read(0, rows);
		expect(all.length, plane.name).toBe(rows * plane.rowBytes);
		const into = new Uint8Array(new SharedArrayBuffer(all.length + 4)).fill(7);
		const last = await plane.read(rows - 1, rows, into);
		expect([...last]).toEqual([...all.subarray((rows - 1) * plane.rowBytes)]);
		expect(into.at(plane.rowBytes)).toBe(7);
	}
	return whole;
}

describe("ggml", () => {
	const shape = [3, 512];
	test.each([
		["Q4_0", "block", 4.5],
		["Q4_1", "block", 5],
		["Q5_0", "block", 5.5],
		["Q5_1", "block", 6],
		["Q8_0", "block", 8.5],
		["Q2_K", "k-block", 2.625],
		["Q3_K", "k-block", 3.4375],
		["Q4_K", "k-block", 4.5],
		["Q5_K", "k-block", 5.5],
		["Q6_K", "k-block", 6.5625],
		["IQ4_NL", "block", 4.5],
		["IQ4_XS", "k-block", 4.25],
		["MXFP4", "block", 4.25],
		["TQ1_0", "k-block", 1.6875],
		["TQ2_0", "k-block", 2.0625],
		["F32", "f32", 32],
		["F16", "f32", 16],
		["BF16", "f32", 16],
	])("%s decodes to ggml's own values", async (type, activation, size) => {
		const stored = storedBytes("w", type, shape, fixture(`ggml/${type}.bin`));
		const found = await matrix(checkpointWith([stored]), "w");
		expect(found).toMatchObject({
			scheme: type,
			rows: 3,
			cols: 512,
			activation,
			bitsPerWeight: size,
		});
		expect(bits(await decoded(found))).toEqual(
			bits(fixtureNpy(`ggml/${type}.deq.npy`)),
		);
	});

	test.each(["IQ2_XXS", "IQ3_S", "IQ1_M", "NVFP4", "Q2_0", "Q4_0_4_8", "Q8_K"])(
		"%s is refused by name",
		async (type) => {
			const stored = storedBytes("w", type, [1, 256], new Uint8Array(256));
			const found = findMatrix(checkpointWith([stored]), "w");
			await expect(found).rejects.toThrow(`of type ${type}, which is not read`);
		},
	);

	test("a scale that is not finite is named", async () => {
		const bytes = fixture("ggml/Q6_K.bin").slice();
		bytes.set([0, 0x7c], 420 + 208);
		const stored = storedBytes("w", "Q6_K", shape, bytes);
		const found = await matrix(checkpointWith([stored]), "w");
		await found.decode(0, 1);
		const error = /a scale of w at byte 628 is Infinity/;
		await expect(found.decode(1, 2)).rejects.toThrow(error);
		await expect(found.planes[0]?.read(1, 2)).rejects.toThrow(error);
	});
});

describe("torchao", () => {
	test.each([
		["v0.12.0_f32_bf16scale", ".bin"],
		["v0.14.1_f32_bf16scale", ".bin"],
		["v0.14.1_f32_bf16scale", ".safetensors"],
		["v0.14.1_bf16_affine", ".bin"],
		["v0.14.1_bf16_affine", ".safetensors"],
		["v0.14.1_bf16_hqq", ".bin"],
		["v0.14.1_bf16_hqq", ".safetensors"],
		["v0.15.0_bf16_hqq", ".bin"],
		["v0.15.0_bf16_hqq", ".safetensors"],
	])("%s%s", async (name, suffix) => {
		const checkpoint = await open(`torchao/${name}${suffix}`);
		const { tensors } = fixtureJson(`torchao/${name}.json`);
		expect(matrixNames(checkpoint).sort()).toEqual(Object.keys(tensors).sort());
		for (const [key, want] of Object.entries<Record<string, unknown>>(
			tensors,
		)) {
			const found = await matrix(checkpoint, key);
			const values = await decoded(found);
			if (want.class === "Tensor") {
				expect([...values], key).toEqual(want.values);
				continue;
			}
			const [rows, cols] = want.shape as number[];
			const [, block] = want.block_size as number[];
			expect(found, key).toMatchObject({ rows, cols, block });
			expect(bits(values), key).toEqual(bits(want.dequant as number[]));
			const act = want.act ? "token-asymmetric" : "f32";
			expect(found.activation, key).toBe(act);
			const [codes, scales, ...zeros] = found.planes;
			const q = new Int8Array((await codes!.read(0, rows!)).buffer);
			expect([...q], key).toEqual(want.q);
			expect(scales?.type).toBe(
				want.scale_dtype === "bfloat16" ? "BF16" : "F32",
			);
			expect(zeros).toEqual([]);
		}
		const proj = await matrix(checkpoint, "proj.weight");
		expect(proj.scheme).toBe("torchao int4 g32");
		expect(proj.bitsPerWeight).toBe(4.5);
		expect(proj.layout).toMatch(/^qb4w_(bf16|f32)$/);
	});
});

describe("compressed-tensors", () => {
	const golden = fixtureJson("ct/ct_0.12.2.json");
	const group = (module: string, format: string) => [
		module,
		{
			...(golden.mods[module].scheme ?? {
				weights: { num_bits: 4, type: "int", strategy: "channel" },
			}),
			targets: [module],
			format,
		},
	];
	const config = {
		quantization_config: {
			quant_method: "compressed-tensors",
			format: "mixed-precision",
			ignore: ["lm_head"],
			config_groups: Object.fromEntries(
				Object.keys(golden.mods).map((m) => group(m, "pack-quantized")),
			),
		},
	};

	test.each([
		["w4a16", "W4A16 g128", "f32", "qb4w_bf16"],
		["w4a16_asym", "W4A16 g128", "f32", "qb4zw"],
		["w4a16_gidx", "W4A16 g128", "f32", "qb4w_bf16"],
		["w8a16", "W8A16 per row", "f32", "qc8w"],
		["w8a8", "W8A8 per row", "token-symmetric", "qc8w"],
	])("%s", async (module, scheme, activation, layout) => {
		const checkpoint = await open("ct/ct_0.12.2.safetensors", config);
		const found = await matrix(checkpoint, `${module}.weight`);
		expect(found).toMatchObject({
			scheme: `compressed-tensors ${scheme}`,
			rows: 5,
			cols: 256,
			activation,
			layout,
			precision: "BF16",
		});
		const want = golden.mods[module];
		expect(bits(await decoded(found))).toEqual(bits(want.dequant_bf16));
		if (module === "w4a16_asym") {
			const zeros = await found.planes[2]!.read(0, 5);
			expect([...new Int8Array(zeros.buffer)]).toEqual(want.zp);
		}
		if (module === "w4a16_gidx") {
			const { columns, block } = found.arrangement!;
			expect(block).toBe(128);
			expect([...columns!].sort((a, b) => a - b)).toEqual([
				...Array(256).keys(),
			]);
			// the codes lie in the order of their groups
			const codes = new Int8Array((await found.planes[0]!.read(0, 5)).buffer);
			for (const [i, code] of codes.entries()) {
				const row = 256 * Math.floor(i / 256);
				expect(code).toBe(want.q[row + columns![i % 256]!]);
			}
		}
	});

	test("columns that are no multiple of 8", async () => {
		const checkpoint = await open("ct/ct_0.12.2.safetensors", config);
		const found = await matrix(checkpoint, "pad.weight");
		const { q, scale } = golden.mods.pad;
		const values = await decoded(found);
		const fround = (x: number) => {
			const bits = new Uint32Array(Float32Array.of(x).buffer);
			bits[0]! += 0x7fff + ((bits[0]! >>> 16) & 1);
			bits[0]! &= 0xffff0000;
			return new Float32Array(bits.buffer)[0];
		};
		expect([...values]).toEqual(
			q.map((code: number, i: number) =>
				fround(code * scale[Math.floor(i / (q.length / 3))]),
			),
		);
	});

	const words = (values: number[]) =>
		new Uint8Array(Int32Array.from(values).buffer);
	const packed = (
		bits: number,
		rows: number[][],
		q: number[],
		version?: string,
	) => {
		const cols = q.length / rows.length;
		const shape = new BigInt64Array([BigInt(rows.length), BigInt(cols)]);
		return checkpointWith(
			[
				storedBytes(
					"m.weight_packed",
					"I32",
					[rows.length, rows[0]!.length],
					words(rows.flat()),
				),
				storedBytes(
					"m.weight_scale",
					"F32",
					[rows.length, 1],
					new Uint8Array(new Float32Array(rows.length).fill(1).buffer),
				),
				storedBytes("m.weight_shape", "I64", [2], new Uint8Array(shape.buffer)),
			],
			{
				quantization_config: {
					version,
					config_groups: {
						group_0: {
							targets: ["Linear"],
							weights: { num_bits: bits, strategy: "channel" },
						},
					},
				},
			},
		);
	};

	test("odd widths, a whole number of codes per word", async () => {
		for (const [width, { q, packed: row }] of Object.entries<{
			q: number[];
			packed: number[];
		}>(golden.otherbits)) {
			const checkpoint = packed(Number(width), [row], q);
			const found = await matrix(checkpoint, "m.weight");
			expect([...(await decoded(found))], width).toEqual(q);
		}
	});

	test("odd widths, packed densely", async () => {
		for (const [width, { q, packed: rows }] of Object.entries<{
			q: number[][];
			packed: number[][];
		}>(fixtureJson("ct/dense_pack_0.18.json"))) {
			const checkpoint = packed(Number(width), rows, q.flat(), "0.18.0");
			const found = await matrix(checkpoint, "m.weight");
			expect([...(await decoded(found))], width).toEqual(q.flat());
		}
	});
});

describe("bitsandbytes", () => {
	const golden = fixtureJson("bnb/bnb.json");

	test.each(["nf4_sq", "nf4_dq", "fp4_sq", "fp4_dq"])("%s", async (module) => {
		const checkpoint = await open("bnb/bnb.safetensors");
		const found = await matrix(checkpoint, `${module}.weight`);
		expect(found).toMatchObject({
			rows: 160,
			cols: 128,
			block: 64,
			precision: "BF16",
			activation: "f32",
		});
		const values = await decoded(found);
		const want = golden.mods[module];
		expect(bits(values.subarray(0, 256))).toEqual(
			bits(want.dequant_bf16_first256),
		);
		const scales = await found.planes[1]!.read(0, 160);
		const tables = found.tables!;
		const absmax = module.endsWith("sq")
			? new Float32Array(scales.slice().buffer)
			: Float32Array.from(scales, (byte, i) => {
					const [offset, perOuter] = tables.subarray(272);
					const outer = tables[276 + Math.floor(i / perOuter!)]!;
					return Math.fround(tables[16 + byte]! * outer) + offset!;
				});
		expect(bits(absmax)).toEqual(bits(fixtureNpy(`bnb/${module}.absmax.npy`)));
		// the unrounded product, from the planes and the file's own tables
		const codes = await found.planes[0]!.read(0, 8);
		const product = fixtureNpy(`bnb/${module}.dequant_f32_first1024.npy`);
		const own = product.map((_, i) => {
			const byte = codes[i >> 1]!;
			const code = i & 1 ? byte & 15 : byte >> 4;
			return Math.fround(tables[code]! * absmax[i >> 6]!);
		});
		expect(bits(own)).toEqual(bits(product));
		const sum = values.reduce((total, value) => total + Math.abs(value), 0);
		expect(Math.abs(sum - want.sum_abs)).toBeLessThan(0.05);
	});

	test("LLM.int8", async () => {
		const checkpoint = await open("bnb/bnb.safetensors");
		const found = await matrix(checkpoint, "int8.weight");
		const values = await decoded(found);
		expect(bits(values.subarray(0, 256))).toEqual(
			bits(golden.mods.int8.dequant_first256),
		);
	});

	test("names", async () => {
		const checkpoint = await open("bnb/bnb.safetensors");
		expect(matrixNames(checkpoint).sort()).toEqual(
			[
				...["nf4_sq", "nf4_dq", "fp4_sq", "fp4_dq", "int8"].map(
					(m) => `${m}.weight`,
				),
				"int8.bias",
			].sort(),
		);
	});
});
