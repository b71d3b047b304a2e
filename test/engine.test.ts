import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { createEngine, type Engine } from "../src/engine/engine.ts";
import { compileKernels } from "../src/engine/kernels.ts";
import { Memory } from "../src/engine/memory.ts";
import { createPool } from "../src/engine/pool.ts";
import { fillWeights } from "../src/fill.ts";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { findArchitecture } from "../src/models/architectures.ts";
import { readConfig } from "../src/models/config.ts";
import { openPath } from "../src/runtime/files.ts";
import { spawn } from "../src/runtime/threads.ts";
import { assignBanks, collectWeights, planWeights } from "../src/weights.ts";

const golden = JSON.parse(
	readFileSync("test/fixtures/nano-smollm3/golden.json", "utf8"),
) as {
	cases: {
		name: string;
		input_ids: number[];
		last_logits: number[];
		top5_ids: number[][];
		greedy_ids: number[];
	}[];
};

let checkpoint: Checkpoint;
beforeAll(async () => {
	checkpoint = await openCheckpoint((await openPath("models/nano-smollm3"))!);
});

async function nano(banks: number, threads = 1, rows = 128): Promise<Engine> {
	const { architecture } = findArchitecture(checkpoint.config, "nano");
	const config = architecture.config(readConfig(checkpoint.config, "nano"));
	const { weights, declared } = collectWeights(checkpoint, (w) =>
		architecture.weights(w, config),
	);
	const planned = await planWeights(checkpoint, declared);
	assignBanks(planned, banks);
	const module = compileKernels(
		readFileSync("build/simd.wasm") as Uint8Array<ArrayBuffer>,
		threads > 1,
	);
	const memories = Array.from({ length: banks }, () => new Memory(threads > 1));
	const machine = {
		modules: [module],
		memories: memories.map((m) => m.memory),
	};
	const pool = await createPool(machine, threads, spawn);
	await fillWeights(planned, memories, pool);
	const limits = {
		rows,
		outputs: 16,
		sequences: 4,
		contextTokens: config.contextTokens,
	};
	return createEngine({
		pool,
		memories,
		record: (graph) => architecture.forward(graph, weights, config),
		limits,
	});
}

const copied = (rows: readonly Float32Array[]) =>
	rows.map((row) => row.slice());

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
	Array.from(a).reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0);

describe("nano-smollm3", () => {
	it("gives the reference's logits", async () => {
		const engine = await nano(1);
		for (const { name, input_ids, last_logits } of golden.cases) {
			const sequence = engine.createSequence();
			let last: Float32Array | undefined;
			for (let i = 0; i < input_ids.length; i += 100)
				[last] = await engine.step(
					[{ sequence, tokens: input_ids.slice(i, i + 100), outputs: 1 }],
					copied,
				);
			expect(worst(last!, last_logits), name).toBeLessThan(2e-3);
		}
	});

	it("lets threads wait for each other at most 8 times per layer and decoded token", async () => {
		const engine = await nano(1, 2);
		const [any, few] = engine.programs.map(({ instructions }) => instructions);
		await engine.stop();
		// What belongs to no layer: embedding and logits.
		expect(few!.length).toBeLessThanOrEqual(4 * 8 + 3);
		expect(few!.length).toBeLessThan(any!.length);
	});

	it("gives the same bits from any number of banks and threads and any chunking", async () => {
		const { input_ids } = golden.cases[0]!;
		const logits = async (banks: number, threads: number, chunk: number) => {
			const engine = await nano(banks, threads);
			const sequence = engine.createSequence();
			let last: Float32Array | undefined;
			for (let i = 0; i < input_ids.length; i += chunk) {
				const tokens = input_ids.slice(i, i + chunk);
				[last] = await engine.step([{ sequence, tokens, outputs: 1 }], copied);
			}
			await engine.stop();
			return last;
		};
		const expected = await logits(1, 1, 100);
		for (const banks of [1, 2, 3])
			for (const threads of [1, 2, 3])
				for (const chunk of [1, 5, 16])
					expect(
						await logits(banks, threads, chunk),
						`${banks} banks, ${threads} threads, chunks of ${chunk}`,
					).toEqual(expected);
	});

	it("keeps the sequences of a batch apart", async () => {
		const engine = await nano(1);
		const prompts = golden.cases.slice(0, 3).map((c) => c.input_ids);
		const alone: Float32Array[] = [];
		for (const tokens of prompts)
			alone.push(
				...(await engine.step(
					[{ sequence: engine.createSequence(), tokens, outputs: 1 }],
					copied,
				)),
			);
		const together = await engine.step(
			prompts.map((tokens) => ({
				sequence: engine.createSequence(),
				tokens,
				outputs: 1,
			})),
			copied,
		);
		expect(together).toEqual(alone);
	});
});
