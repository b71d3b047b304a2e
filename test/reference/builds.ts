import { existsSync, readFileSync } from "node:fs";
import {
	compileKernels,
	instantiateKernels,
	type KernelName,
	type Kernels,
	type NumericArgs,
	parameterNames,
} from "../../src/engine/kernels.ts";

/** The kernels of one target, of both modules, over a memory of their own. */
export interface Build {
	readonly target: "simd" | "relaxed";
	readonly kernels: Kernels;
	readonly memory: WebAssembly.Memory;
}

/** Units [lo, hi). */
export type Range = readonly [lo: number, hi: number];

/** The bytes of a target's modules. */
export function modulesOf(target: Build["target"]): Uint8Array<ArrayBuffer>[] {
	return [target, `${target}-rare`].map((build) => {
		const path = `build/${build}.wasm`;
		if (!existsSync(path)) throw new Error(`${path} is missing: npm run build`);
		return Uint8Array.from(readFileSync(path));
	});
}

/** All kernels of these modules over a fresh memory. */
export function buildOf(
	target: Build["target"],
	modules: readonly Uint8Array<ArrayBuffer>[],
): Build {
	const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
	const compiled = modules.map((bytes) => compileKernels(bytes, false));
	return { target, kernels: instantiateKernels(compiled, memory), memory };
}

/** A target's kernels over a fresh memory; undefined where this runtime does not know its instructions. */
export function load(target: Build["target"]): Build | undefined {
	const modules = modulesOf(target);
	if (modules.every((bytes) => WebAssembly.validate(bytes)))
		return buildOf(target, modules);
	console.log(`nothing to test: ${process.version} rejects ${target}`);
	return undefined;
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
