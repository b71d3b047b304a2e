import { expect, test } from "vitest";
import * as simd from "../src/embedded/simd.js";
import { createEngine } from "../src/engine/engine.ts";
import { compileKernels } from "../src/engine/kernels.ts";
import { Memory } from "../src/engine/memory.ts";
import { createPool } from "../src/engine/pool.ts";
import { fillWeights } from "../src/fill.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { planModel, planSteps, type SizeOptions } from "../src/plan.ts";
import { fromBase64 } from "../src/runtime/base64.ts";
import { openPath } from "../src/runtime/files.ts";
import { Model } from "../src/runtime/server.ts";
import { spawn } from "../src/runtime/threads.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import type { Repository } from "../src/sources/source.ts";
import { nanoGemma3 } from "./nano-gemma3.ts";
import { type WriteTensor, writeSafetensors } from "./write-safetensors.ts";

const folder = async (path: string) => (await openPath(path)) as Repository;
const NANO = () => folder("models/nano-smollm3");
const GEMMA = () => folder("test/fixtures/nano-gemma3");

/** The Gemma that sees, in 4096 patches, as those of Google do. */
async function manyPatches(): Promise<Repository> {
	const GRID = 64;
	const PATCH = 8;
	const checkpoint = await openCheckpoint(nanoGemma3());
	const tensors: Record<string, WriteTensor> = {};
	for (const { name, type: dtype, shape, read } of checkpoint.tensors.values())
		tensors[name] = { dtype, shape, data: await read() };
	const positions = Object.keys(tensors).find((name) =>
		name.endsWith("position_embedding.weight"),
	)!;
	const { dtype, shape, data } = tensors[positions]!;
	const [rows, columns] = shape as [number, number];
	tensors[positions] = {
		dtype,
		shape: [GRID ** 2, columns],
		data: new Uint8Array((data.length / rows) * GRID ** 2),
	};
	return nanoGemma3(
		(config) => ({
			...config,
			mm_tokens_per_image: 256,
			vision_config: {
				...(config.vision_config as object),
				image_size: GRID * PATCH,
			},
		}),
		{ "model.safetensors": writeSafetensors(tensors) },
	);
}

/** 25 MB of weights, and little besides. */
async function wideLayer(): Promise<Repository> {
	const D = 256;
	const F = 8192;
	const V = 64;
	const layer = "model.layers.0.";
	const zeros = (...shape: number[]): WriteTensor => ({
		dtype: "F32",
		shape,
		data: new Uint8Array(4 * shape.reduce((a, b) => a * b)),
	});
	const config = {
		architectures: ["LlamaForCausalLM"],
		hidden_size: D,
		intermediate_size: F,
		num_hidden_layers: 1,
		num_attention_heads: 4,
		vocab_size: V,
		max_position_embeddings: 64,
		rms_norm_eps: 1e-5,
		tie_word_embeddings: true,
	};
	const shapes: Readonly<Record<string, readonly [number, number]>> = {
		...Object.fromEntries(
			["q", "k", "v", "o"].map((w) => [`self_attn.${w}_proj`, [D, D]]),
		),
		"mlp.gate_proj": [F, D],
		"mlp.up_proj": [F, D],
		"mlp.down_proj": [D, F],
	};
	return bytesRepository({
		"config.json": new TextEncoder().encode(JSON.stringify(config)),
		"model.safetensors": writeSafetensors(
			Object.fromEntries([
				["model.embed_tokens.weight", zeros(V, D)],
				["model.norm.weight", zeros(D)],
				...Object.entries(shapes).map(([name, shape]) => [
					`${layer}${name}.weight`,
					zeros(...shape),
				]),
				...["input_layernorm", "post_attention_layernorm"].map((norm) => [
					`${layer}${norm}.weight`,
					zeros(D),
				]),
			]),
		),
	});
}

/** A memory that knows the most that was ever in use. */
class WatchedMemory extends Memory {
	readonly #before = this.usedBytes;
	#peak = 0;

	override allocate(bytes: number, what: string): number {
		const address = super.allocate(bytes, what);
		this.#peak = Math.max(this.#peak, this.usedBytes);
		return address;
	}

	get peakBytes(): number {
		return this.#peak - this.#before;
	}
}

/** What a model allocates that is loaded, and then reads a text as long as its context. */
async function allocated(repository: Repository, options: SizeOptions) {
	const checkpoint = await openCheckpoint(repository);
	const plan = await planModel(checkpoint);
	const steps = planSteps(plan, options, { threads: 2, spawn });
	const shared = steps.threads > 1;
	const memories = Array.from(
		{ length: steps.banks },
		() => new WatchedMemory(shared),
	);
	const used = () => memories.reduce((sum, m) => sum + m.usedBytes, 0);
	const modules = [compileKernels(fromBase64(simd.base64), shared)];
	const pool = await createPool(
		{ modules, memories: memories.map((m) => m.memory) },
		steps.threads,
		spawn,
	);
	await fillWeights(plan.weights, memories, pool);
	await checkpoint.close();
	const filled = used();
	const engine = await createEngine({
		...steps,
		pool,
		memories,
		record: plan.record,
		encoder: plan.encoder,
	});
	const ready = used();
	const { rows, contextTokens } = steps.limits;
	const sequence = engine.createSequence();
	while (sequence.length < contextTokens) {
		const length = Math.min(sequence.length + rows, contextTokens);
		sequence.reserve(length);
		sequence.length = length;
	}
	await engine.stop();
	return {
		activationBytes: ready - filled,
		cacheBytes: used() - ready,
		peakBytes: memories.reduce((sum, m) => sum + m.peakBytes, 0),
	};
}

test.each<{ source: () => Promise<Repository>; options: SizeOptions }>([
	{ source: NANO, options: { threads: 1 } },
	{
		source: NANO,
		options: { threads: 2, contextTokens: 2048, cache: "f16" },
	},
	{
		source: NANO,
		options: { threads: 1, banks: 3, contextTokens: 100, cache: "i8" },
	},
	{ source: GEMMA, options: { threads: 2, chunkTokens: 32 } },
	{ source: GEMMA, options: { threads: 1, banks: 2, contextTokens: 700 } },
	{ source: manyPatches, options: { threads: 2, contextTokens: 600 } },
	{ source: wideLayer, options: { threads: 1, chunkTokens: 8 } },
	{ source: wideLayer, options: { threads: 2, chunkTokens: 1 } },
])(
	"$source.name with $options takes what was estimated",
	async ({ source, options }) => {
		const estimate = await Model.estimate(await source(), options);
		const real = await allocated(await source(), options);
		expect(estimate.activationBytes).toBe(real.activationBytes);
		// What a window lets go of depends on where its steps begin.
		const isWindowed = source !== NANO && source !== wideLayer;
		expect(real.cacheBytes).toBeLessThanOrEqual(estimate.cacheBytes);
		expect(real.cacheBytes).toBeGreaterThan(
			(isWindowed ? 0.75 : 0.999) * estimate.cacheBytes,
		);
		const freed = estimate.cacheBytes - real.cacheBytes;
		const ratio = (estimate.totalBytes - freed) / real.peakBytes;
		expect(Math.abs(ratio - 1)).toBeLessThan(0.05);
	},
);

test("an encoder's activations are counted, and so is what weights are staged in", async () => {
	const options = { threads: 1, contextTokens: 600 };
	const few = await Model.estimate(await GEMMA(), options);
	const many = await Model.estimate(await manyPatches(), options);
	// At least the patches themselves and what the tower makes of them: f32[4096, 192], f32[4096, 128].
	const growth = many.activationBytes - few.activationBytes;
	expect(growth).toBeGreaterThan(4 * (4096 - 64) * (192 + 128));

	const wide = await Model.estimate(await wideLayer(), {
		...options,
		chunkTokens: 8,
	});
	const { cacheBytes, activationBytes, weightBytes } = wide;
	const staged = wide.totalBytes - weightBytes;
	expect(staged).toBeGreaterThan(cacheBytes + activationBytes);
	expect(staged).toBeGreaterThan(0.1 * weightBytes);
	expect(staged).toBeLessThan(0.15 * weightBytes);
});
