import { describe, expect, test } from "vitest";
import type { KernelName } from "../src/engine/kernels.ts";
import {
	type Format,
	type LayoutInfo,
	layouts,
	RESERVED_BYTES,
} from "../src/engine/layouts.ts";
import { signatures } from "../src/engine/signatures.ts";
import { type Build, builds, call, grow } from "./reference/builds.ts";
import type { Entry } from "./reference/entry.ts";
import { reference } from "./reference/index.ts";
import { Operands, outputBytes } from "./reference/operands.ts";

const TILE_ROWS = 16;

type Numbers = Record<string, number>;

/** Cases of a kernel: operands, arguments by name, and names of the parameters of one type. */
function casesOf(kernel: KernelName) {
	const { cases } = reference[kernel] as unknown as Entry<KernelName>;
	return Object.entries(cases).map(([name, make]) => {
		const operands = new Operands(name.length);
		const args = make(operands) as unknown as Numbers;
		return { name, operands, args };
	});
}

/** Memory after a call of the kernel, from the image it starts with. */
function after(
	build: Build,
	image: Uint8Array,
	kernel: KernelName,
	args: Numbers,
	[lo, hi]: readonly [number, number],
): Uint8Array {
	grow(build, image.length);
	const bytes = new Uint8Array(build.memory.buffer, 0, image.length);
	const reserved = bytes.slice(0, RESERVED_BYTES);
	bytes.set(image);
	bytes.set(reserved);
	call(build, kernel, args as never, [[lo, hi]]);
	return bytes.slice();
}

const kernels = Object.keys(signatures) as KernelName[];

describe("packed piece by piece, each from the bytes of its own rows, or as a matrix of its own", () => {
	for (const kernel of kernels.filter((name) => name.startsWith("pack_")))
		test(kernel, () => {
			const planes = signatures[kernel]
				.filter(([, type]) => (type as string) === "Bytes")
				.map(([name]) => name as string);
			for (const build of builds)
				for (const { name, operands, args } of casesOf(kernel)) {
					const { n } = args as { n: number };
					const image = operands.image();
					const whole = after(build, image, kernel, args, [0, n]);
					const { address: dst, ...output } = operands.outputs[0]!;
					const bytes = outputBytes({ address: dst, ...output });
					const tileBytes = bytes / Math.ceil(n / TILE_ROWS);
					let pieces: Uint8Array = image;
					let matrices: Uint8Array = image;
					for (let lo = 0; lo < n; lo += TILE_ROWS) {
						const piece = { ...args };
						for (const plane of planes) {
							const rowBytes = operands.inputs.get(args[plane]!)! / n;
							piece[plane]! += lo * rowBytes;
						}
						const hi = Math.min(lo + TILE_ROWS, n);
						pieces = after(build, pieces, kernel, piece, [lo, hi]);
						piece.dst = dst + (lo / TILE_ROWS) * tileBytes;
						piece.n = hi - lo;
						matrices = after(build, matrices, kernel, piece, [0, hi - lo]);
					}
					for (const parts of [pieces, matrices])
						expect(
							Buffer.compare(
								whole.subarray(dst, dst + bytes),
								parts.subarray(dst, dst + bytes),
							),
							`${build.target}, ${name}`,
						).toBe(0);
				}
		});
});

describe("layouts say how large a packed matrix is", () => {
	for (const [layout, info] of Object.entries(layouts))
		test(layout, () => {
			for (const { name, operands, args } of casesOf(info.gemm)) {
				const { n, k, block = 0, tableBytes = 0, w } = args;
				const { bytes } = info as LayoutInfo;
				const format = args as unknown as Format;
				expect(bytes(n!, k!, block, format) + tableBytes, name).toBe(
					operands.inputs.get(w!),
				);
			}
		});
});
