import { describe, expect, test } from "vitest";
import type { KernelName } from "../src/engine/kernels.ts";
import { layouts, RESERVED_BYTES } from "../src/engine/layouts.ts";
import {
	type Build,
	buildOf,
	call,
	grow,
	modulesOf,
	relaxed,
} from "./reference/builds.ts";
import type { Entry } from "./reference/entry.ts";
import { reference } from "./reference/index.ts";
import { Operands, outputBytes } from "./reference/operands.ts";

// How relaxed dots treat bytes above 127 tells kernels which of their loops suits a machine, and tests meet only one answer.
// Here the build is told that dots take them as unsigned, whatever they do. All loops add up integers exactly, so they have
// to agree to the bit. The answer is changed where it is compared: a sum of 4 · 127 · 255 where bytes are unsigned, and of
// 65534 where pairs of products saturate.

const UNSIGNED = [0x41, 0x84, 0xf4, 0x07]; // i32.const 129540
const SATURATED = [0x41, 0xfe, 0xff, 0x03]; // i32.const 65534

/** The relaxed build, made to believe that a machine whose dots saturate takes bytes as unsigned. */
function believing(): Build | undefined {
	if (relaxed === undefined) return undefined;
	const modules = modulesOf("relaxed");
	for (const bytes of modules) {
		const found = bytes.findIndex((_, i) =>
			UNSIGNED.every((byte, j) => bytes[i + j] === byte),
		);
		if (found < 0) throw new Error("the comparison is not where it was");
		bytes.set(SATURATED, found);
	}
	return buildOf("relaxed", modules);
}

/** Inputs so small that no pair of products with bytes saturates: 2 · 63 · 255 < 2^15. */
class SmallOperands extends Operands {
	override integers(count: number, low: number, high: number): Int32Array {
		return super.integers(count, Math.max(low, -63), Math.min(high, 63));
	}
}

const BYTE_CODES = /_(q[bc]8w|qbnw|iq4\w+)$/;

function run(build: Build, kernel: KernelName, name: string): Uint8Array {
	const { cases } = reference[kernel] as unknown as Entry<KernelName>;
	const operands = BYTE_CODES.test(kernel)
		? new SmallOperands(1)
		: new Operands(1);
	const args = cases[name]!(operands);
	const image = operands.image();
	grow(build, image.length);
	const bytes = new Uint8Array(build.memory.buffer, 0, image.length);
	bytes.set(image.subarray(RESERVED_BYTES), RESERVED_BYTES);
	call(build, kernel, args, [[0, (args as unknown as { n: number }).n]]);
	const { address, ...rest } = operands.outputs[0]!;
	return bytes.slice(address, address + outputBytes({ address, ...rest }));
}

const unsigned = believing();
describe.runIf(relaxed)("all ways to multiply integers agree", () => {
	const kernels = new Set<KernelName>(
		Object.values(layouts)
			.filter(({ activation }) => activation !== "f32")
			.map(({ gemm }) => gemm),
	);
	for (const kernel of kernels)
		test(kernel, () => {
			for (const name of Object.keys(reference[kernel].cases)) {
				const [a, b] = [relaxed!, unsigned!].map((build) =>
					run(build, kernel, name),
				);
				expect(Buffer.compare(a!, b!), name).toBe(0);
			}
		});
});
