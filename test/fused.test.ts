import { describe, expect, it } from "vitest";
import type { KernelName } from "../src/engine/kernels.ts";
import { signatures } from "../src/engine/signatures.ts";
import { builds } from "./reference/builds.ts";

const fused = Object.keys(signatures).flatMap((kernel) => {
	const [, first, form] =
		/^((?:rmsnorm|swiglu|geglu)_f32)_(\w+)$/.exec(kernel) ?? [];
	return first && form ? [{ kernel, first, form }] : [];
});

/** A deterministic mess: bits of a sine. */
const noise = (count: number, seed: number) =>
	Float32Array.from(
		{ length: count },
		(_, i) => 4 * Math.sin(seed + 7.3 * i * i),
	);

describe.each(builds)("$target", ({ kernels, memory }) => {
	const K = 256;
	const ROWS = 5;
	const [A, B, ROW, Y, EXPECTED, SCRATCH] = [1, 2, 3, 4, 5, 6].map(
		(i) => i << 14,
	) as [number, number, number, number, number, number];
	memory.grow(2);
	const f32 = (at: number) => new Float32Array(memory.buffer, at, ROWS * K);
	const bytes = (at: number) =>
		new Uint8Array(memory.buffer, at, 2 * ROWS * K).slice();

	it.each(fused)(
		"$kernel has the bits of $first and quantize_f32_$form",
		({ kernel, first, form }) => {
			f32(A).set(noise(ROWS * K, 1));
			f32(B).set(noise(ROWS * K, 2));
			for (const at of [Y, EXPECTED])
				new Uint8Array(memory.buffer, at, 1 << 14).fill(0);
			const run = (name: string, ...args: number[]) =>
				kernels[name as KernelName](...args);
			if (first === "rmsnorm_f32") {
				run(first, ROW, A, B, K, 1e-5, 0, ROWS);
				run(kernel, Y, A, B, K, 1e-5, SCRATCH, 0, ROWS);
			} else {
				run(first, ROW, A, B, 0, ROWS * K);
				run(kernel, Y, A, B, K, SCRATCH, 0, ROWS);
			}
			run(`quantize_f32_${form}`, EXPECTED, ROW, K, 0, ROWS);
			expect(bytes(Y)).toEqual(bytes(EXPECTED));
			expect(bytes(Y).some((b) => b !== 0)).toBe(true);
		},
	);
});
