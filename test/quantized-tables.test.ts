import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/formats/open.ts";
import { MXFP4_TABLE } from "../src/quant/ggml-table.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { Model } from "../src/runtime/server.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import { layoutName } from "../src/weights.ts";
import {
	checkpointWith,
	fixtureJson,
	fixtureNpy,
	fixtureSource,
	storedBytes,
} from "./fixture.ts";
import {
	golden,
	goldenImage,
	inFloat32,
	largestDifference,
	nanoGemma3,
} from "./nano-gemma3.ts";
import { decodedNano, nanoBitsandbytes } from "./quantized-nano.ts";
import { nanoGguf } from "./quantized-nano-gguf.ts";
import {
	DYNAMIC,
	FP4,
	fourBit,
	NF4,
	nestedScales,
} from "./quantizers-bitsandbytes.ts";
import { builds, call } from "./reference/builds.ts";
import {
	type BitsandbytesOptions,
	fourBitConfig,
	writeFourBit,
} from "./write-bitsandbytes.ts";
import { type WriteTensor, writeSafetensors } from "./write-safetensors.ts";

describe("the tests' quantizers are bitsandbytes', byte for byte:", () => {
	test("the numbers that scales are rounded to", () => {
		const { dynamic_map } = fixtureJson("bnb/bnb.json");
		expect([...DYNAMIC]).toEqual([...Float32Array.from(dynamic_map)]);
	});

	test.each([
		["nf4", NF4],
		["fp4", FP4],
	] as const)("%s", async (type, table) => {
		const { tensors } = await openCheckpoint(
			fixtureSource("bnb/bnb.safetensors"),
		);
		const read = (name: string) => tensors.get(`${type}_${name}`)!.read();
		const floats = async (name: string) =>
			new Float32Array((await read(name)).slice().buffer);
		const { codes, scales } = fourBit(fixtureNpy("bnb/orig.npy"), table, 64);
		const stored = await read("sq.weight");
		const own = stored.map((_, i) => (codes[2 * i]! << 4) | codes[2 * i + 1]!);
		expect(Buffer.compare(own, stored)).toBe(0);
		expect(await floats("sq.weight.quant_map")).toEqual(table);
		expect(await floats("sq.weight.absmax")).toEqual(scales);
		const { bytes, outer } = nestedScales(scales);
		expect(await read("dq.weight.absmax")).toEqual(bytes);
		expect(await floats("dq.weight.nested_absmax")).toEqual(outer);
	});
});

const prompts: readonly { input_ids: number[] }[] = fixtureJson(
	"quantized-logits.json",
).nf4;
const alone = { threads: 1 };
const highest = (row: Float32Array) => row.indexOf(Math.max(...row));

/** Largest difference of logits, share of positions with the same highest one, and whether greedy tokens are the same. */
async function compare(model: Model, exact: Model) {
	let difference = 0;
	let same = 0;
	let positions = 0;
	let greedy = true;
	for (const { input_ids } of prompts) {
		const found = await model.logits(input_ids, { all: true });
		const wanted = await exact.logits(input_ids, { all: true });
		for (const [t, row] of found.entries()) {
			const want = wanted[t]!;
			for (const [i, value] of row.entries())
				difference = Math.max(difference, Math.abs(value - want[i]!));
			same += Number(highest(row) === highest(want));
			positions++;
		}
		const options = { maxTokens: 20, temperature: 0 };
		const own = await model.generate({ ids: input_ids }, options);
		const other = await exact.generate({ ids: input_ids }, options);
		greedy &&= own.tokenIds.join() === other.tokenIds.join();
	}
	return { difference, agreement: same / positions, greedy };
}

describe("bitsandbytes runs with the numbers that its codes stand for", () => {
	test.each<[BitsandbytesOptions, number]>([
		[{}, 4],
		[{ double: true }, 1],
		[{ type: "fp4", double: true, block: 128 }, 1],
		[{ block: 32 }, 4],
		// blocks that reach over the ends of rows
		[{ double: true, block: 4096 }, 1],
	])("%o", async (options, scaleBytes) => {
		const files = await nanoBitsandbytes({ ...options, dtype: "float32" });
		const checkpoint = await openCheckpoint(bytesRepository(files, "nano"));
		const name = "model.layers.0.self_attn.q_proj.weight";
		const matrix = (await findMatrix(checkpoint, name))!;
		expect(matrix.planes[1]!.rowBytes).toBe(
			(scaleBytes * matrix.cols) / matrix.block,
		);
		const decoded = bytesRepository(await decodedNano(checkpoint), "decoded");
		await using exact = await Model.load(decoded, alone);
		await using model = await Model.load(bytesRepository(files, "nano"), alone);
		const { difference, greedy } = await compare(model, exact);
		expect(difference).toBeLessThan(2e-3);
		expect(greedy).toBe(true);
	});

	test("but for one rounding of weights of bf16", async () => {
		const files = await nanoBitsandbytes();
		const checkpoint = await openCheckpoint(bytesRepository(files, "nano"));
		const decoded = bytesRepository(await decodedNano(checkpoint), "decoded");
		await using exact = await Model.load(decoded, alone);
		await using model = await Model.load(bytesRepository(files, "nano"), alone);
		const { difference, agreement } = await compare(model, exact);
		expect(difference).toBeLessThan(0.08);
		expect(agreement).toBeGreaterThan(0.97);
	});
});

test("bitsandbytes runs where a model sees, too", async () => {
	const checkpoint = await openCheckpoint(nanoGemma3());
	const tensors: Record<string, WriteTensor> = {};
	const exact: Record<string, WriteTensor> = {};
	for (const name of matrixNames(checkpoint)) {
		const { shape, rows, decode } = (await findMatrix(checkpoint, name))!;
		const values = await decode(0, rows);
		const f32 = (values: Float32Array): WriteTensor => ({
			dtype: "F32",
			shape,
			data: new Uint8Array(values.slice().buffer),
		});
		tensors[name] = exact[name] = f32(values);
		if (!/(proj|fc[12])\.weight$/.test(name)) continue;
		const written = writeFourBit(name, shape, values, {
			dtype: "float32",
			double: true,
		});
		delete tensors[name];
		Object.assign(tensors, written);
		const stored = Object.entries(written).map(([key, tensor]) =>
			storedBytes(key, tensor.dtype, tensor.shape, tensor.data),
		);
		const quantized = (await findMatrix(checkpointWith(stored), name))!;
		exact[name] = f32(await quantized.decode(0, rows));
	}
	expect(Object.keys(tensors).length).toBeGreaterThan(
		Object.keys(exact).length,
	);
	const load = (weights: Record<string, WriteTensor>, config = {}) =>
		Model.load(
			nanoGemma3((own) => ({ ...inFloat32(own), ...config }), {
				"model.safetensors": writeSafetensors(weights),
			}),
			alone,
		);
	await using expected = await load(exact);
	await using model = await load(tensors, fourBitConfig({ double: true }));
	for (const { input_ids, image } of golden.slice(0, 6)) {
		const images = image ? [goldenImage(image)] : [];
		const [found] = await model.logits(input_ids, { images });
		const [want] = await expected.logits(input_ids, { images });
		expect(largestDifference(found!, want!)).toBeLessThan(1e-3);
	}
});

/** A matrix of two rows, called p, and what else its state says. */
async function twoRows(cols: number, nested?: Record<string, number>) {
	const blocks = Math.ceil(cols / 32);
	const state = new TextEncoder().encode(
		JSON.stringify({
			quant_type: "nf4",
			blocksize: 64,
			dtype: "float32",
			shape: [2, cols],
			...nested,
		}),
	);
	const f32 = (name: string, values: Float32Array) =>
		storedBytes(name, "F32", [values.length], new Uint8Array(values.buffer));
	const bytes = Uint8Array.from({ length: blocks }, (_, i) => 100 + i);
	const outer = Math.ceil(blocks / (nested?.nested_blocksize ?? 1));
	const checkpoint = checkpointWith([
		storedBytes("p", "U8", [cols, 1], new Uint8Array(cols)),
		nested
			? storedBytes("p.absmax", "U8", [blocks], bytes)
			: f32("p.absmax", Float32Array.from(bytes)),
		f32("p.quant_map", NF4.slice()),
		f32("p.nested_quant_map", DYNAMIC.slice()),
		f32(
			"p.nested_absmax",
			Float32Array.from({ length: outer }, (_, i) => 1 + i),
		),
		storedBytes("p.quant_state.bitsandbytes__nf4", "U8", [state.length], state),
	]);
	return (await findMatrix(checkpoint, "p"))!;
}

test.each([
	[100, /^p: no kernel .* bitsandbytes nf4 g64 across rows of 100 columns/],
	[33, /^p: no kernel .* across rows of 33 columns/],
])(
	"rows of %d columns are read, and refused by name",
	async (cols, message) => {
		const matrix = await twoRows(cols);
		expect(await matrix.decode(0, 2)).toHaveLength(2 * cols);
		expect(() => layoutName(matrix)).toThrow(message);
	},
);

test.each([
	[256, "f32_lut4w_u8"],
	// as numbers: kernels divide by powers of two only
	[3, "f32_lut4w_f32"],
])(
	"scales of which %d share an outer one are kept for %s",
	async (nested_blocksize, layout) => {
		const matrix = await twoRows(192, { nested_blocksize, nested_offset: 0.5 });
		expect(layoutName(matrix)).toBe(layout);
		const plane = await matrix.planes[1]!.read(0, 2);
		const scales = [100, 101, 102, 103, 104, 105].map((byte, i) => {
			const outer = 1 + Math.floor(i / nested_blocksize);
			return Math.fround(Math.fround(DYNAMIC[byte]! * outer) + 0.5);
		});
		expect([...plane]).toEqual(
			layout.endsWith("u8")
				? [100, 101, 102, 103, 104, 105]
				: [...new Uint8Array(Float32Array.from(scales).buffer)],
		);
		const decoded = await matrix.decode(0, 2);
		expect([...decoded]).toEqual(scales.flatMap((s) => Array(64).fill(-s)));
	},
);

test("scales that may be infinite are refused", async () => {
	const nested = { nested_blocksize: 256, nested_offset: 1e300 };
	await expect(twoRows(192, nested)).rejects.toThrow(
		"scales of p.absmax may be infinite: 1 · 1 + Infinity",
	);
});

describe("GGUF's tables run", () => {
	test.each(["IQ4_NL", "IQ4_XS", "MXFP4"])("%s", async (type) => {
		const source = bytesSource(
			await nanoGguf(type, /embed_tokens|layers\.0\.self_attn/),
			`nano-${type}.gguf`,
		);
		const checkpoint = await openCheckpoint(source);
		const decoded = bytesRepository(await decodedNano(checkpoint), "decoded");
		await using exact = await Model.load(decoded, alone);
		await using model = await Model.load(source, alone);
		// inputs are rounded to int8
		const { difference, agreement } = await compare(model, exact);
		expect(difference).toBeLessThan(0.4);
		expect(agreement).toBeGreaterThan(0.95);
	});

	// Of the exponents 0 and 1 the power is denormal in f32.
	test("MXFP4 has every power of two", () => {
		const rows = 255;
		const cols = 32;
		const src = new Uint8Array(rows * 17);
		for (let e = 0; e < rows; e++) {
			src[17 * e] = e;
			for (let c = 0; c < 16; c++) src[17 * e + 1 + c] = c | ((15 - c) << 4);
		}
		for (const build of builds) {
			const at = { src: 16384, dst: 32768, tokens: 65536, y: 131072 };
			build.memory.grow(4);
			const memory = new Uint8Array(build.memory.buffer);
			memory.set(src, at.src);
			const ids = Int32Array.from({ length: rows }, (_, e) => e);
			memory.set(new Uint8Array(ids.buffer), at.tokens);
			call(build, "pack_mxfp4w_mxfp4", { ...at, n: rows, k: cols }, [
				[0, rows],
			]);
			const { y, tokens, dst: w } = at;
			call(build, "embed_mxfp4w", { y, tokens, w, d: cols, scale: 1 }, [
				[0, rows],
			]);
			const found = new Float32Array(build.memory.buffer, y, rows * cols);
			for (let e = 0; e < rows; e++)
				for (let c = 0; c < cols; c++) {
					const level = MXFP4_TABLE[c < 16 ? c : 31 - c]!;
					const value = found[e * cols + c]!;
					const want = Math.fround(level * 2 ** (e - 128));
					expect(value === want, `${e} ${c}`).toBe(true);
				}
		}
	});
});
