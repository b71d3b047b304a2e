import { existsSync, readFileSync } from "node:fs";
import {
	compileKernels,
	instantiateKernels,
	type KernelName,
	type Kernels,
	type NumericArgs,
	parameterNames,
} from "../../src/engine/kernels.ts";

/** The kernels of one target over a memory of their own. */
export interface Build {
	readonly target: "simd" | "relaxed";
	readonly kernels: Kernels;
	readonly memory: WebAssembly.Memory;
}

/** Units [lo, hi). */
export type Range = readonly [lo: number, hi: number];

/** A build over a fresh memory; undefined where this runtime does not know the target's instructions. */
export function load(target: Build["target"]): Build | undefined {
	const path = `build/${target}.wasm`;
	if (!existsSync(path)) throw new Error(`${path} is missing: npm run build`);
	const bytes = Uint8Array.from(readFileSync(path));
	if (!WebAssembly.validate(bytes)) {
		console.log(`nothing to test: ${process.version} rejects ${path}`);
		return undefined;
	}
	const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
	const kernels = instantiateKernels(compileKernels(bytes, false), memory);
	return { target, kernels, memory };
}

export const simd = load("simd");
export const relaxed = load("relaxed");
/** What this runtime can run. */
export const builds: readonly Build[] = [simd, relaxed].filter(
	(build) => build !== undefined,
);

const PAGE_BYTES = 65536;

/** Grows a build's memory to at least so many bytes. */
export function grow({ memory }: Build, bytes: number): void {
	const missing = bytes - memory.buffer.byteLength;
	if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
}

/** Calls a kernel by names of arguments, for each range in turn. */
export function call<K extends KernelName>(
	{ kernels }: Build,
	kernel: K,
	args: NumericArgs<K>,
	ranges: readonly Range[],
): void {
	const named = args as Record<string, number>;
	const values = parameterNames(kernel).map((name) => named[name] as number);
	for (const [lo, hi] of ranges) kernels[kernel](...values, lo, hi);
}
