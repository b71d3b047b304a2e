// A row's bits do not depend on its neighbours: rows of inputs are multiplied all at once, by kernels that unpack weights for
// many, and one by one, by those that read them packed.
import { describe, expect, test } from "vitest";
import type { KernelName } from "../src/engine/kernels.ts";
import {
	activations,
	type LayoutInfo,
	layouts,
	RESERVED_BYTES,
} from "../src/engine/layouts.ts";
import { type Build, builds, call, grow } from "./reference/builds.ts";
import type { Entry } from "./reference/entry.ts";
import { reference } from "./reference/index.ts";
import { Operands } from "./reference/operands.ts";

/** Of more rows, so many are multiplied one by one. */
const MOST_ROWS = 20;

type Numbers = Record<string, number>;

function product(
	build: Build,
	image: Uint8Array,
	kernel: KernelName,
	args: Numbers,
): Uint8Array {
	grow(build, image.length);
	const bytes = new Uint8Array(build.memory.buffer, 0, image.length);
	bytes.set(image.subarray(RESERVED_BYTES), RESERVED_BYTES);
	call(build, kernel, args as never, [[0, args.n!]]);
	const rowBytes = 4 * args.n!;
	return bytes.slice(args.y!, args.y! + args.rows! * rowBytes);
}

describe("rows at once have the bits that they have one by one", () => {
	const infos = new Map<KernelName, LayoutInfo>(
		Object.values(layouts).map((info) => [info.gemm, info]),
	);
	for (const [kernel, { activation }] of infos)
		test(kernel, () => {
			const { cases } = reference[kernel] as unknown as Entry<KernelName>;
			for (const [name, make] of Object.entries(cases)) {
				const operands = new Operands(1);
				const args = make(operands) as unknown as Numbers;
				const { y, x, rows, n, k, residual } = args;
				if (rows === 1) continue;
				const step = Math.ceil(rows! / MOST_ROWS);
				const image = operands.image();
				for (const build of builds) {
					const all = product(build, image, kernel, args);
					for (let t = 0; t < rows!; t += step) {
						const one = product(build, image, kernel, {
							...args,
							rows: 1,
							y: y! + 4 * n! * t,
							x: x! + activations[activation].rowBytes(k!) * t,
							residual: residual ? residual + 4 * n! * t : 0,
						});
						const same = all.subarray(4 * n! * t, 4 * n! * (t + 1));
						expect(
							Buffer.compare(one, same),
							`${build.target}, ${name}, row ${t}`,
						).toBe(0);
					}
				}
			}
		});
});
