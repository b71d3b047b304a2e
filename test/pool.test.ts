import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { compileKernels } from "../src/engine/kernels.ts";
import {
	createThreadPool,
	type Pool,
	type Thread,
} from "../src/engine/pool.ts";
import type { Call, Program } from "../src/engine/program.ts";
import { EngineError } from "../src/errors.ts";
import { spawn } from "../src/runtime/threads.ts";

const PAGE = 65536;

/** y = a + b over 4,096 elements, again and again. */
function additions(times: number, y = 3 * PAGE): Program {
	const call = {
		kernel: "add_f32",
		bank: 0,
		args: [y, PAGE, 2 * PAGE],
		units: 4096,
		grain: 16,
	} as const;
	return {
		instructions: Array.from({ length: times }, () => ({ calls: [call] })),
		scratch: [0],
		scratchBytes: 0,
	};
}

const pools: Pool[] = [];
afterEach(async () => {
	for (const pool of pools.splice(0)) await pool.stop();
});

async function start(parts: number, programs: Program[], spawnThread = spawn) {
	const memory = new WebAssembly.Memory({
		initial: 8,
		maximum: 65535,
		shared: true,
	});
	const bytes = Uint8Array.from(readFileSync("build/simd.wasm"));
	const machine = {
		modules: [compileKernels(bytes, true)],
		memories: [memory],
	};
	const pool = await createThreadPool(machine, parts, spawnThread);
	pools.push(pool);
	await pool.prepare(programs);
	return { pool, memory };
}

describe("a pool of threads", () => {
	it("does all of the work, step after step", async () => {
		const { pool, memory } = await start(3, [additions(50)]);
		const f32 = (at: number) => new Float32Array(memory.buffer, at, 4096);
		for (let step = 1; step <= 20; step++) {
			f32(PAGE).fill(step);
			f32(2 * PAGE).fill(0.5);
			await pool.step(0, { rows: 1, outputs: 1 });
			expect(f32(3 * PAGE).every((y) => y === step + 0.5)).toBe(true);
		}
	});

	it("takes up other programs, and moves operands with the range where a call says so", async () => {
		const { pool, memory } = await start(3, [additions(50)]);
		await pool.step(0, { rows: 1, outputs: 1 });
		const fill = (at: number, value: (i: number) => number) =>
			new Float32Array(memory.buffer, at, 8192).set(
				Float32Array.from({ length: 8192 }, (_, i) => value(i)),
			);
		fill(PAGE, (i) => i);
		fill(2 * PAGE, () => 0.5);
		fill(3 * PAGE, () => 0);
		// add_f32 starts at its unit lo, so an operand that moves is read at twice the distance.
		const [{ calls }] = additions(1).instructions as [{ calls: [Call] }];
		const moving = { ...calls[0], units: 2048, strides: [0, 4] };
		for (let time = 0; time < 20; time++) {
			await pool.prepare([
				additions(7, 5 * PAGE),
				{ ...additions(0), instructions: [{ calls: [moving] }] },
			]);
			await pool.step(1, { rows: 1, outputs: 1 });
		}
		const y = new Float32Array(memory.buffer, 3 * PAGE, 2048);
		const starts = y.map((value, i) => value - 0.5 - i);
		// Within a range the distance is that of its start, a multiple of the grain.
		for (const [i, start] of starts.entries()) {
			expect(start % 16).toBe(0);
			expect(start).toBeLessThanOrEqual(i);
			expect(start).toBeGreaterThan(i - 128);
		}
	});

	it("rejects with what a kernel ran into, from every part that waits, and stays dead", async () => {
		// Beyond the end of the memory.
		const { pool } = await start(3, [additions(50), additions(5, 64 * PAGE)]);
		await pool.step(0, { rows: 1, outputs: 1 });
		const failing = pool.step(1, { rows: 1, outputs: 1 });
		await expect(failing).rejects.toThrow(EngineError);
		await expect(failing).rejects.toThrow(/worker \d of 3: .*out of bounds/);
		await expect(pool.step(0, { rows: 1, outputs: 1 })).rejects.toThrow(
			"out of bounds",
		);
	});

	it("rejects the running step when a worker dies", async () => {
		const threads: Thread[] = [];
		const dying = (): Thread => {
			const thread = spawn();
			let fail: (reason: string) => void = () => {};
			threads.push({
				...thread,
				stop: async () => fail("ended with exit code 1"),
			});
			return {
				...thread,
				onFailure(listener) {
					fail = listener;
					thread.onFailure(listener);
				},
			};
		};
		const { pool } = await start(2, [additions(200_000)], dying);
		const step = pool.step(0, { rows: 1, outputs: 1 });
		await threads[1]!.stop();
		await expect(step).rejects.toThrow("worker 1 of 2: ended with exit code 1");
	});

	it("rejects when a thread cannot be started", async () => {
		const refuse = () => {
			throw new Error("no more threads");
		};
		await expect(start(2, [additions(1)], refuse)).rejects.toThrow(
			"no more threads",
		);
	});

	it("rejects what runs when it is stopped, and runs one step at a time", async () => {
		const { pool } = await start(2, [additions(200_000)]);
		const step = pool.step(0, { rows: 1, outputs: 1 });
		await expect(pool.step(0, { rows: 1, outputs: 1 })).rejects.toThrow(
			"already running",
		);
		const stopped = pool.stop();
		await expect(step).rejects.toThrow("disposed");
		await stopped;
	});
});
