import { expect, test } from "vitest";
import type { KernelName } from "../src/engine/kernels.ts";
import {
	activations,
	layouts,
	MAX_INTEGER_COLUMNS,
	SCRATCH_BYTES,
} from "../src/engine/layouts.ts";
import { UnsupportedError } from "../src/errors.ts";
import { collectWeights, planWeights } from "../src/weights.ts";
import { checkpointWith, storedBytes } from "./fixture.ts";
import { builds, call, grow } from "./reference/builds.ts";

const START = 65536;
const [N, ROWS] = [16, 2];

/** Plans Q8_0 of so many columns. */
function plan(columns: number) {
	const bytes = new Uint8Array((N * columns * 34) / 32);
	const tensor = storedBytes("w.weight", "Q8_0", [N, columns], bytes);
	const checkpoint = checkpointWith([tensor]);
	const { declared } = collectWeights(checkpoint, (w) => w("w", [N, columns]));
	return planWeights(checkpoint, declared);
}

test.each([
	["qb8_qb8w", 0],
	["qd8_qc8w", 0],
	["qd8_qbnw", 64],
	["qk8_q4kw", 256],
] as const)("%s takes as many columns as are allowed", (layout, block) => {
	const k = MAX_INTEGER_COLUMNS;
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

test("a matrix of more columns is refused", async () => {
	const [planned] = await plan(MAX_INTEGER_COLUMNS);
	expect(planned!.weight.layout).toBe("qb8_qb8w");
	const refused = plan(MAX_INTEGER_COLUMNS + 256);
	await expect(refused).rejects.toThrow(UnsupportedError);
	await expect(refused).rejects.toThrow(
		"w.weight: Q8_0 of 196864 columns makes 196864 for kernels, which take at most 196608",
	);
});
