// Sums of products that are added up in 16 bits are right where they are largest.
import { expect, test } from "vitest";
import {
	activations,
	layouts,
	RESERVED_BYTES,
	SCRATCH_BYTES,
} from "../src/engine/layouts.ts";
import { builds, call, grow } from "./reference/builds.ts";
import { viewOf } from "./reference/operands.ts";
import { qb8, qd8 } from "./reference/quantize.ts";

const [N, K, BLOCK] = [16, 64, 32];
const HALF_ONE = 0x3c00;

/** Value c of row i: all least, all most, and both in turn, for runs of 1, 2, 16 and 32 columns. */
function extreme(i: number, c: number, least: number, most: number): number {
	const run = [Number.POSITIVE_INFINITY, 1, 2, 16, 32][(i >> 1) % 5]!;
	return (Math.floor(c / run) + i) % 2 === 0 ? least : most;
}

test.each([
	["qb8_qb4w_f16", qb8, -127, 1],
	["qb8_qb4w_f16", qb8, -127, 100],
	["qd8_qb4w_f16", qd8, -128, 1],
	["qd8_qb4w_f16", qd8, -128, 100],
] as const)("%s", (name, form, least, rows) => {
	const rowBytes = activations[layouts[name].activation].rowBytes(K);
	const codes = RESERVED_BYTES;
	const scales = codes + N * K;
	const w = scales + 2 * N * (K / BLOCK);
	const x = w + layouts[name].bytes(N, K, BLOCK);
	const y = x + Math.ceil((rows * rowBytes) / 16) * 16;
	const scratch = y + 4 * rows * N;
	const input = (t: number, c: number) => extreme(t, c, least, 127);
	const code = (j: number, c: number) => extreme(j, c, -8, 7);
	const columns = Array.from({ length: K }, (_, c) => c);
	const expected = Array.from({ length: rows * N }, (_, i) =>
		columns.reduce(
			(sum, c) => sum + input(Math.floor(i / N), c) * code(i % N, c),
			0,
		),
	);
	for (const build of builds) {
		grow(build, scratch + SCRATCH_BYTES);
		const memory = viewOf(build.memory.buffer);
		for (let j = 0; j < N; j++)
			for (const c of columns) memory.i8(codes)[j * K + c] = code(j, c);
		new Uint16Array(build.memory.buffer, scales, N * (K / BLOCK)).fill(
			HALF_ONE,
		);
		for (let t = 0; t < rows; t++)
			form.write(memory, x + t * rowBytes, {
				codes: columns.map((c) => input(t, c)),
				zero: 0,
				scale: () => 1,
			});
		const sizes = { n: N, k: K, block: BLOCK };
		call(build, "pack_qb4w_f16_i8", { dst: w, codes, scales, ...sizes }, [
			[0, N],
		]);
		call(
			build,
			layouts[name].gemm,
			{ y, x, w, bias: 0, residual: 0, rows, ...sizes, scratch },
			[[0, N]],
		);
		expect(
			[...new Float32Array(build.memory.buffer, y, rows * N)],
			build.target,
		).toEqual(expected);
	}
});
