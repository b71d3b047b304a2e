import { expect, test } from "vitest";
import type { KernelName } from "../src/engine/kernels.ts";
import { activations, layouts, SCRATCH_BYTES } from "../src/engine/layouts.ts";
import { builds, call, grow } from "./reference/builds.ts";

const START = 65536;
const [N, ROWS] = [16, 2];
/** More than a part has scratch memory for, were it to keep a row of inputs there. */
const K = 2 ** 18 + 256;

test.each([
	["qb8_qb8w", 0],
	["qd8_qc8w", 0],
	["qd8_qbnw", 64],
	["qk8_q4kw", 256],
] as const)("%s takes any number of columns", (layout, block) => {
	const k = K;
	const format = { bits: 3, has_zeros: 0, scale_type: 0 };
	const { gemm, activation, bytes } = layouts[layout];
	const size = (bytes as (...args: unknown[]) => number)(N, k, block, format);
	const y = START;
	const x = y + 4 * N * ROWS;
	const w = x + ROWS * activations[activation].rowBytes(k);
	const scratch = w + size;
	const end = scratch + SCRATCH_BYTES;
	for (const build of builds) {
		grow(build, end + 16);
		const memory = new Uint8Array(build.memory.buffer);
		memory.fill(0, START, end);
		memory.fill(123, y, x);
		memory.fill(77, end, end + 16);
		const args = { y, x, w, bias: 0, residual: 0, rows: ROWS, n: N, k, block };
		call(build, gemm as KernelName, { ...args, ...format, scratch } as never, [
			[0, N],
		]);
		expect([...new Float32Array(memory.buffer, y, N * ROWS)]).toEqual(
			Array(N * ROWS).fill(0),
		);
		expect([...memory.subarray(end, end + 16)]).toEqual(Array(16).fill(77));
	}
});
