import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/formats/open.ts";
import { findMatrix } from "../src/quant/scheme.ts";
import { Model } from "../src/runtime/server.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import { layoutName } from "../src/weights.ts";
import { fixtureJson } from "./fixture.ts";
import { decodedNano } from "./quantized-nano.ts";
import {
	nanoFloat8,
	nanoFp8,
	nanoIntx,
	nanoWidth,
	type Width,
} from "./quantized-widths.ts";

type Files = Record<string, Uint8Array>;

const LINEAR = "model.layers.0.mlp.down_proj.weight";
const { input_ids: ids } = fixtureJson("quantized-logits.json")
	.w8a16_ct_channel[0];

async function logits(
	files: Files,
	options: Parameters<typeof Model.load>[1] = {},
): Promise<Float32Array[]> {
	const source = bytesRepository(files, "nano");
	await using model = await Model.load(source, options);
	return await model.logits(ids, { all: true });
}

const largest = (values: Float32Array) =>
	values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Of the largest logit: with f32 inputs only the order of additions differs. */
const SUMS = 1e-5;
/** The definition rounds code · scale to bf16, kernels do not. */
const ROUNDED_PRODUCTS = 0.01;
/** Inputs rounded to int8 are right to about 1 in 250, in each layer. */
const QUANTIZED_INPUTS = 0.05;

function expectClose(
	got: readonly Float32Array[],
	want: readonly Float32Array[],
	tolerance: number,
) {
	for (const [t, row] of want.entries()) {
		const off = row.map((value, i) => value - got[t]![i]!);
		expect(largest(off) / largest(row), `position ${t}`).toBeLessThan(
			tolerance,
		);
	}
}

const name = (width: Width) => {
	const { bits, group, asymmetric, dynamic, reordered, scales } = width;
	return [
		`int${bits} ${group ? `g${group}` : "per row"}`,
		...(scales ? [`${scales} scales`] : []),
		...(reordered ? ["reordered"] : []),
		...(asymmetric ? ["zero points"] : []),
		...(dynamic ? ["int8 inputs"] : []),
	].join(", ");
};

const packed = (width: Width, form: "loose" | "dense", layout: string) =>
	[
		`compressed-tensors ${name(width)}, ${form}`,
		() => nanoWidth(width, form),
		layout,
	] as const;
const bytes = (width: Width, layout: string) =>
	[
		`compressed-tensors ${name(width)}, a byte each`,
		() => nanoWidth(width, "bytes"),
		layout,
	] as const;
const intx = (width: Width, layout: string) =>
	[`torchao ${name(width)}`, () => nanoIntx(width), layout] as const;

test.each<readonly [string, () => Promise<Files>, string]>([
	packed({ bits: 2, group: 128 }, "dense", "f32_qbnw"),
	packed({ bits: 3, group: 64 }, "dense", "f32_qbnw"),
	packed({ bits: 3 }, "loose", "f32_qbnw"),
	packed({ bits: 3, group: 128, asymmetric: true }, "dense", "f32_qbnw"),
	packed({ bits: 4, group: 8 }, "dense", "f32_qbnw"),
	packed({ bits: 4, group: 16 }, "dense", "f32_qbnw"),
	packed({ bits: 4, group: 128, asymmetric: true }, "dense", "f32_qb4zw"),
	packed({ bits: 4, asymmetric: true }, "dense", "f32_qb4zw"),
	packed(
		{ bits: 4, group: 64, asymmetric: true, dynamic: true },
		"dense",
		"qs8_qb4zw",
	),
	packed({ bits: 4, group: 128, reordered: true }, "dense", "f32_qb4w_f32"),
	packed(
		{ bits: 4, group: 32, reordered: true, asymmetric: true },
		"dense",
		"f32_qb4zw",
	),
	packed(
		{ bits: 4, group: 16, reordered: true, asymmetric: true, dynamic: true },
		"dense",
		"qs8_qbnw",
	),
	packed(
		{ bits: 3, group: 64, reordered: true, asymmetric: true },
		"dense",
		"f32_qbnw",
	),
	packed(
		{ bits: 8, group: 128, reordered: true, dynamic: true },
		"dense",
		"qs8_qbnw",
	),
	packed({ bits: 5, group: 32 }, "dense", "f32_qbnw"),
	packed({ bits: 6, group: 128 }, "loose", "f32_qbnw"),
	packed({ bits: 7, group: 128, asymmetric: true }, "loose", "f32_qbnw"),
	packed({ bits: 7, asymmetric: true }, "dense", "f32_qbnw"),
	packed({ bits: 8, group: 128 }, "dense", "f32_qbnw"),
	packed({ bits: 8, group: 32, dynamic: true }, "dense", "qs8_qbnw"),
	packed({ bits: 8, group: 64, asymmetric: true }, "dense", "f32_qbnw"),
	packed({ bits: 8, asymmetric: true }, "dense", "f32_qc8zw"),
	bytes({ bits: 8, group: 256 }, "f32_qbnw"),
	bytes({ bits: 8, group: 32, asymmetric: true, dynamic: true }, "qs8_qbnw"),
	bytes({ bits: 8, asymmetric: true, dynamic: true }, "qs8_qc8zw"),
	bytes({ bits: 6, asymmetric: true }, "f32_qbnw"),
	intx({ bits: 1, group: 32, asymmetric: true }, "f32_qbnw"),
	intx({ bits: 2, group: 32, asymmetric: true }, "f32_qbnw"),
	intx({ bits: 3, group: 64, dynamic: true }, "qd8_qbnw"),
	intx({ bits: 4, group: 16 }, "f32_qbnw"),
	intx({ bits: 4, group: 32, asymmetric: true }, "f32_qb4zw"),
	intx({ bits: 4, group: 32, asymmetric: true, dynamic: true }, "qd8_qb4zw"),
	intx({ bits: 4, group: 8, asymmetric: true, dynamic: true }, "qd8_qbnw"),
	intx({ bits: 8, asymmetric: true, dynamic: true }, "qd8_qc8zw"),
	intx({ bits: 5, group: 64, asymmetric: true }, "f32_qbnw"),
	intx({ bits: 5, group: 2, asymmetric: true }, "f32_qbnw"),
	intx({ bits: 8, group: 64 }, "f32_qbnw"),
	intx({ bits: 8, group: 4, asymmetric: true }, "f32_qbnw"),
	intx({ bits: 8, group: 32, dynamic: true }, "qd8_qbnw"),
	intx({ bits: 4, group: 64, asymmetric: true, scales: "BF16" }, "f32_qb4zw"),
	intx({ bits: 4, group: 64, dynamic: true, scales: "F16" }, "qd8_qb4w_f16"),
	intx({ bits: 8, group: 64, asymmetric: true, scales: "F16" }, "f32_qbnw"),
	intx({ bits: 6, group: 16, dynamic: true, scales: "BF16" }, "qd8_qbnw"),
	["FP8 per tensor", () => nanoFp8("tensor"), "f8e4m3w"],
	["FP8 per row", () => nanoFp8("channel"), "f8e4m3w"],
	["FP8 per group", () => nanoFp8("group"), "f8e4m3w"],
	["FP8 per tile", () => nanoFp8("block"), "f8e4m3w"],
	["FP8 per tile, BF16 scales", () => nanoFp8("block", "BF16"), "f8e4m3w"],
	["plain E4M3", () => nanoFloat8("F8_E4M3"), "f8e4m3w"],
	["plain E5M2", () => nanoFloat8("F8_E5M2"), "f8e5m2w"],
])("%s runs as its decoded weights do", async (_, write, layout) => {
	const files = await write();
	const checkpoint = await openCheckpoint(bytesRepository(files));
	const linear = (await findMatrix(checkpoint, LINEAR))!;
	expect(layoutName(linear)).toBe(layout);
	const exact = linear.precision === "F32" ? SUMS : ROUNDED_PRODUCTS;
	const tolerance = linear.activation === "f32" ? exact : QUANTIZED_INPUTS;
	const want = await logits(await decodedNano(checkpoint));
	expectClose(await logits(files), want, tolerance);
});

test.each([
	{ bits: 4, group: 64, asymmetric: true },
	{ bits: 4, group: 16, asymmetric: true },
	{ bits: 4, group: 32, reordered: true },
	{ bits: 8, asymmetric: true },
	{ bits: 8, group: 32, asymmetric: true },
	{ bits: 5, group: 8 },
])("%o with int8 inputs, in two banks", async (width) => {
	const files = await nanoWidth(width, "dense");
	const checkpoint = await openCheckpoint(bytesRepository(files));
	const want = await logits(await decodedNano(checkpoint));
	const options = { activations: "int8", banks: 2 } as const;
	expectClose(await logits(files, options), want, QUANTIZED_INPUTS);
});

test.each([
	{ bits: 4, group: 32, reordered: true, asymmetric: true },
	{ bits: 3, group: 16, asymmetric: true },
])("in two banks, %o has the bits that it has in one", async (width) => {
	const files = await nanoWidth(width, "dense");
	expect(await logits(files, { banks: 2 })).toEqual(await logits(files));
});

describe("refused with the tensor's name", () => {
	const load = async (
		files: Files,
		change: (bytes: Uint8Array) => void,
		tensor: string,
	) => {
		const checkpoint = await openCheckpoint(bytesRepository(files));
		const weights = files["model.safetensors"]!;
		const stored = await checkpoint.tensors.get(tensor)!.read();
		const at = Buffer.from(weights).indexOf(stored);
		change(weights.subarray(at, at + stored.length));
		return Model.load(bytesRepository(files, "nano"));
	};

	test.each([
		["F8_E4M3", 0xff, "NaN"],
		["F8_E5M2", 0x7d, "NaN"],
		["F8_E5M2", 0xfc, "-Infinity"],
	] as const)("%s with a code of %i", async (type, code, value) => {
		const loading = load(
			await nanoFloat8(type),
			(bytes) => bytes.set([code], 1000),
			LINEAR,
		);
		await expect(loading).rejects.toThrow(
			`element 1000 of ${LINEAR} is ${value}, expected a finite weight`,
		);
	});

	test("FP8 with NaN", async () => {
		const loading = load(
			await nanoFp8("block"),
			(bytes) => bytes.set([0x7f], 70_000),
			LINEAR,
		);
		await expect(loading).rejects.toThrow(
			`element 70000 of ${LINEAR} is NaN, expected a finite weight`,
		);
	});

	test.each([
		[{ bits: 3, group: 64, asymmetric: true }, 100, "int3, −4 to 3"],
		[{ bits: 4, group: 32 }, -9, "int4, −8 to 7"],
		[{ bits: 7 }, 64, "int7, −64 to 63"],
	])("%o with a code of %i", async (width, code, expected) => {
		const part = LINEAR.replace(".weight", "._weight_qdata");
		const loading = load(
			await nanoIntx(width),
			(bytes) => bytes.set([code], 70_001),
			part,
		);
		await expect(loading).rejects.toThrow(
			`element 70001 of ${part} is ${code}, expected ${expected}`,
		);
	});

	test("zero points wider than their codes", async () => {
		const stem = LINEAR.replace(".weight", "._weight");
		const loading = load(
			await nanoIntx({ bits: 3, group: 64, asymmetric: true }),
			(bytes) => bytes.set([-100], 5),
			`${stem}_zero_point`,
		);
		await expect(loading).rejects.toThrow(
			`${stem}_qdata has a zero point of -100, expected int3`,
		);
	});
});
