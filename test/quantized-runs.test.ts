import { expect, test } from "vitest";
import { Model } from "../src/runtime/server.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import { fixtureJson } from "./fixture.ts";
import {
	nanoBitsandbytes,
	nanoCompressedTensors,
	nanoTorchao,
	nanoTorchaoSafetensors,
} from "./quantized-nano.ts";

/** Logits that PyTorch gave with the same integers and scales, activations quantized where the scheme says so. */
const golden: Record<
	string,
	{ input_ids: number[]; argmax: number[]; last_logits: number[] }[]
> = fixtureJson("quantized-logits.json");

/** With f32 inputs only the order of additions differs. */
const SUMS = 2e-3;
/** The reference rounds code · scale to bf16, kernels do not. */
const BF16_PRODUCTS = 0.08;
/** A change of 2e-6 in a norm's weights moves quantized inputs by a step here and there, and logits by 0.2. */
const QUANTIZED_INPUTS = 0.4;

test.each<[string, string, () => Promise<Record<string, Uint8Array>>, number]>([
	["8da4w", "torchao v1", () => nanoTorchao("8da4w", "v1"), QUANTIZED_INPUTS],
	[
		"8da4w",
		"torchao 0.15",
		() => nanoTorchaoSafetensors("8da4w", "0.15"),
		QUANTIZED_INPUTS,
	],
	[
		"hqq_int8_int4",
		"torchao v2",
		() => nanoTorchao("hqq_int8_int4", "v2"),
		QUANTIZED_INPUTS,
	],
	[
		"int4_weight_only_g32",
		"torchao v2",
		() => nanoTorchao("int4_weight_only_g32", "v2"),
		SUMS,
	],
	[
		"hqq_int4_weight_only",
		"torchao 0.14",
		() => nanoTorchaoSafetensors("hqq_int4_weight_only", "0.14"),
		SUMS,
	],
	[
		"w4a16_ct_g128",
		"packed",
		() => nanoCompressedTensors("w4a16_ct_g128"),
		BF16_PRODUCTS,
	],
	[
		"w8a16_ct_channel",
		"packed",
		() => nanoCompressedTensors("w8a16_ct_channel"),
		BF16_PRODUCTS,
	],
	["nf4", "of f32", () => nanoBitsandbytes({ dtype: "float32" }), SUMS],
	["nf4", "of bf16", () => nanoBitsandbytes(), SUMS],
])("%s, %s, runs as in PyTorch", async (name, _, files, tolerance) => {
	await using model = await Model.load(bytesRepository(await files(), name));
	let agreeing = 0;
	let positions = 0;
	for (const { input_ids, argmax, last_logits } of golden[name]!) {
		const rows = await model.logits(input_ids, { all: true });
		for (const [i, want] of last_logits.entries()) {
			const got = rows.at(-1)![i]!;
			expect(Math.abs(got - want), `token ${i}`).toBeLessThan(tolerance);
		}
		for (const [t, row] of rows.entries()) {
			positions++;
			if (row.indexOf(Math.max(...row)) === argmax[t]) agreeing++;
		}
	}
	expect(agreeing / positions).toBeGreaterThan(0.97);
});

test.each<[string, () => Promise<Record<string, Uint8Array>>]>([
	["w4a16_ct_g128", () => nanoCompressedTensors("w4a16_ct_g128")],
	["w8a16_ct_channel", () => nanoCompressedTensors("w8a16_ct_channel")],
	["int4_weight_only_g32", () => nanoTorchao("int4_weight_only_g32", "v2")],
])("%s with int8 inputs stays close to its definition", async (name, files) => {
	await using model = await Model.load(bytesRepository(await files(), name), {
		activations: "int8",
	});
	let [agreeing, positions, squares, of] = [0, 0, 0, 0];
	for (const { input_ids, argmax, last_logits } of golden[name]!) {
		const rows = await model.logits(input_ids, { all: true });
		for (const [i, want] of last_logits.entries()) {
			squares += (rows.at(-1)![i]! - want) ** 2;
			of += want ** 2;
		}
		for (const [t, row] of rows.entries()) {
			positions++;
			if (row.indexOf(Math.max(...row)) === argmax[t]) agreeing++;
		}
	}
	// Root mean square of what logits moved by, of what they are. More than nothing: the option has an effect.
	expect(Math.sqrt(squares / of)).toBeGreaterThan(1e-3);
	expect(Math.sqrt(squares / of)).toBeLessThan(0.05);
	expect(agreeing / positions).toBeGreaterThan(0.95);
});
