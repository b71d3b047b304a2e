/** How fast WebAssembly can read memory on this machine: the limit of every step of few rows. */

import asc from "assemblyscript/asc";
import { compileKernels, type KernelName } from "../src/engine/kernels.ts";
import { Memory } from "../src/engine/memory.ts";
import { createThreadPool } from "../src/engine/pool.ts";
import { spawn } from "../src/runtime/threads.ts";

/** Many times larger than any cache, as weights are. */
const BYTES = 768 * 1024 * 1024;
const UNIT_BYTES = 128 * 1024;
const ROUNDS = 7;

/** Reads units of 128 KiB, with enough loads in flight, and keeps a digest so that none can be left out. */
const READ = `
export function read(to: usize, from: usize, lo: i32, hi: i32): void {
	let a = i64x2.splat(0), b = a, c = a, d = a;
	const end = from + (<usize>hi << 17);
	for (let at = from + (<usize>lo << 17); at < end; at += 128) {
		a = v128.xor(v128.xor(a, v128.load(at)), v128.load(at, 64));
		b = v128.xor(v128.xor(b, v128.load(at, 16)), v128.load(at, 80));
		c = v128.xor(v128.xor(c, v128.load(at, 32)), v128.load(at, 96));
		d = v128.xor(v128.xor(d, v128.load(at, 48)), v128.load(at, 112));
	}
	v128.store(to, v128.xor(v128.xor(a, b), v128.xor(c, d)));
}`;

async function compile(): Promise<WebAssembly.Module> {
	const { binary, stderr } = await asc.compileString(READ, {
		optimizeLevel: 2,
		enable: ["simd", "threads"],
		runtime: "stub",
		noAssert: true,
		importMemory: true,
		maximumMemory: 65535,
	});
	if (binary === null) throw new Error(String(stderr));
	return compileKernels(Uint8Array.from(binary), true);
}

/** Bytes per second that 1 … `threads` threads read together: the best of a few rounds each, taken in turn. */
export async function measureReadBandwidth(threads: number): Promise<number[]> {
	const memory = new Memory(true);
	const to = memory.allocate(64 * threads, "digests");
	const from = memory.allocate(BYTES, "what is read");
	// Pages that nobody has written to are all the same page.
	memory.bytes(from, BYTES).fill(1);
	const call = {
		kernel: "read" as KernelName,
		bank: 0,
		args: ["scratch", from],
		units: BYTES / UNIT_BYTES,
		grain: 1,
	} as const;
	const machine = { modules: [await compile()], memories: [memory.memory] };
	const program = {
		instructions: [{ calls: [call] }],
		scratch: [to],
		scratchBytes: 64,
	};
	const pools = [];
	for (let parts = 1; parts <= threads; parts++) {
		const pool = await createThreadPool(machine, parts, spawn);
		await pool.prepare([program]);
		pools.push(pool);
	}
	const best = pools.map(() => 0);
	for (let round = 0; round < ROUNDS; round++)
		for (const [i, pool] of pools.entries()) {
			const start = performance.now();
			await pool.step(0, { rows: 1, outputs: 0 });
			const seconds = (performance.now() - start) / 1000;
			best[i] = Math.max(best[i]!, BYTES / seconds);
		}
	await Promise.all(pools.map((pool) => pool.stop()));
	return best;
}
