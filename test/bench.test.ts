import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { groupSize } from "../bench/formats/format.ts";
import {
	type CheckpointFormatName,
	checkpointFormats,
} from "../bench/formats/formats.ts";
import { type Mix, type MixName, mixes, typeIn } from "../bench/mixes.ts";
import { readOptions } from "../bench/model.bench.ts";
import { modelFacts } from "../bench/model-facts.ts";
import { type Shape, shapes } from "../bench/shapes.ts";
import { speedOf } from "../bench/statistics.ts";
import { digits, printTable } from "../bench/table.ts";
import { writeCheckpoint } from "../bench/write-checkpoint.ts";
import { writeModel } from "../bench/write-model.ts";
import { Model } from "../src/runtime/server.ts";

test("speed over rounds", () => {
	const phases = [
		{ tokens: 100, ms: 500, cpuMs: 400 },
		{ tokens: 100, ms: 1000, cpuMs: 250 },
		{ tokens: 100, ms: 2000, cpuMs: 800 },
	];
	expect(speedOf(phases)).toEqual({
		best: 200,
		median: 100,
		perCpuSecond: 400,
	});
	expect(speedOf(phases.slice(1)).median).toBe(75);
});

test("a table is markdown with text to the left and numbers to the right", () => {
	expect(
		printTable([
			["name", "tokens/s"],
			["a", digits(1234.5)],
			["long", digits(9.876)],
		]),
	).toBe(
		[
			"| name | tokens/s |",
			"|------|---------:|",
			"| a    |     1235 |",
			"| long |     9.88 |",
		].join("\n"),
	);
});

describe("models with random weights", () => {
	const folder = mkdtempSync(join(tmpdir(), "nibble-bench-test-"));
	afterAll(() => rmSync(folder, { recursive: true }));

	const sizes = {
		hidden_size: 256,
		intermediate_size: 512,
		num_hidden_layers: 8,
		num_attention_heads: 4,
		num_key_value_heads: 2,
		head_dim: 64,
		vocab_size: 256,
		rope_theta: 10_000,
		rms_norm_eps: 1e-5,
		max_position_embeddings: 64,
	} as const;
	const tiny: Shape = { architecture: "llama", ...sizes };

	/** Schemes of its weights, once it has written a few tokens. */
	async function schemesOf(path: string): Promise<string[]> {
		const model = await Model.load(path, { threads: 1 });
		const [logits] = await model.logits([1, 2, 3]);
		// Scales of a sane size: no infinities, and neither nothing nor very much.
		const square = logits!.reduce((sum, x) => sum + x * x, 0);
		const size = Math.sqrt(square / logits!.length);
		expect(size).toBeGreaterThan(0.05);
		expect(size).toBeLessThan(2);
		const { tokenIds } = await model.generate(
			{ ids: [1, 2, 3] },
			{ maxNewTokens: 3, ignoreEos: true },
		);
		expect(tokenIds).toHaveLength(3);
		await model.dispose();
		return Object.keys(model.info.schemes);
	}

	test.each(Object.keys(mixes) as MixName[])("%s", async (mix) => {
		const path = join(folder, `${mix}.gguf`);
		await writeModel(path, tiny, mix);
		const { most, embedding = "Q6_K", better = most }: Mix = mixes[mix];
		const types = new Set([most, embedding, better, "F32"]);
		expect((await schemesOf(path)).sort()).toEqual([...types].sort());
	});

	const schemes = {
		"safetensors-F32": "F32",
		"safetensors-F16": "F16",
		"safetensors-BF16": "BF16",
		"8da4w": "torchao int4 g32",
		"HQQ-INT8-INT4": "torchao int4 g32",
		"torchao-int4-g32": "torchao int4 g32",
		"torchao-int4-g128": "torchao int4 g128",
		"torchao-int8": "torchao int8 per row",
		W4A16: "compressed-tensors W4A16 g128",
		"W4A16-asym": "compressed-tensors W4A16 g128",
		W8A16: "compressed-tensors W8A16 per row",
		W8A8: "compressed-tensors W8A8 per row",
		FP8: "compressed-tensors FP8 per row",
		NF4: "bitsandbytes nf4 g64",
		"NF4-double": "bitsandbytes nf4 g64 double",
		FP4: "bitsandbytes fp4 g64",
		"LLM.int8": "bitsandbytes int8",
	} as const satisfies Record<CheckpointFormatName, string>;

	test.each(Object.keys(checkpointFormats) as CheckpointFormatName[])(
		"%s",
		async (name) => {
			const path = join(folder, name);
			await writeCheckpoint(path, tiny, name);
			expect(await schemesOf(path)).toContain(schemes[name]);
		},
	);

	test.each(["smollm3", "gemma3"] as const)("%s", async (architecture) => {
		const shape = { ...sizes, architecture, sliding_window: 32 };
		const folderPath = join(folder, architecture);
		const filePath = `${folderPath}.gguf`;
		await writeCheckpoint(folderPath, shape, "8da4w");
		await writeModel(filePath, shape, "Q4_K_M");
		expect(await schemesOf(folderPath)).toContain("torchao int4 g32");
		expect(await schemesOf(filePath)).toContain("Q4_K");
	});

	test("a step reads all weights but an embedding that is not the output", async () => {
		const path = join(folder, "facts");
		await writeCheckpoint(path, tiny, "8da4w");
		const facts = await modelFacts(path);
		const model = await Model.load(path, { threads: 1 });
		await model.dispose();
		expect(facts.weightBytes).toBe(model.info.weightBytes);
		expect(facts.parameters).toBe(model.info.parameters);
		expect(facts.kernels).toEqual(["gemm_qd8_qb4w_bf16"]);
		const { hidden_size, vocab_size } = sizes;
		const scalesSumsAndZeros = 9 * vocab_size;
		expect(facts.weightBytes - facts.stepBytes).toBe(
			hidden_size * vocab_size + scalesSumsAndZeros,
		);

		await writeCheckpoint(path, tiny, "torchao-int4-g32");
		const tied = await modelFacts(path);
		expect(tied.stepBytes).toBe(tied.weightBytes);
		expect(tied.kernels).toEqual(["gemm_f32_qb4w_bf16", "gemm_f32_bf16w"]);
		const { kernels } = await modelFacts(path, { activations: "int8" });
		expect(kernels).toEqual(["gemm_qb8_qb4w_bf16", "gemm_f32_bf16w"]);
	});

	test("rows that are no whole number of blocks or groups have other ones", () => {
		const small = shapes["SmolLM2-135M"];
		const typeOf = (mix: MixName, name: string, k: number) =>
			typeIn(mix, small, name, k).name;
		expect(typeOf("Q4_K_M", "blk.9.attn_q.weight", 576)).toBe("Q5_0");
		expect(typeOf("Q4_K_M", "blk.0.ffn_down.weight", 1536)).toBe("Q6_K");
		expect(typeOf("Q2_K", "token_embd.weight", 576)).toBe("Q8_0");
		expect(groupSize(small, 128)).toBe(64);
		expect(groupSize(shapes["SmolLM2-1.7B"], 128)).toBe(128);
	});
});

test("what is measured: every combination, of what is known", () => {
	const { configurations, rounds } = readOptions(
		["--mixes", "NF4,Q4_0", "--threads", "1,2", "--rounds", "3"],
		{ rounds: "9", shapes: "SmolLM2-1.7B" },
	);
	expect(rounds).toBe(3);
	expect(configurations.map((c) => `${c.shape} ${c.mix} ${c.threads}`)).toEqual(
		[
			"SmolLM2-1.7B NF4 1",
			"SmolLM2-1.7B NF4 2",
			"SmolLM2-1.7B Q4_0 1",
			"SmolLM2-1.7B Q4_0 2",
		],
	);
	expect(() => readOptions(["--mixes", "Q4"])).toThrow(
		/"Q4" is none of F32, F16/,
	);
});
