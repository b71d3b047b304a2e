import { isKernel, isRare, type KernelName } from "./engine/kernels.ts";
import { activations, type Layout, layouts } from "./engine/layouts.ts";
import { chooseTarget } from "./engine/probe.ts";
import type { KernelBuild, Runtime, Target } from "./runtime/runtime.ts";
import type { PlannedWeight } from "./weights.ts";

/** The kernels that a model's weights need. */
export interface CompiledKernels {
	readonly target: Target;
	readonly modules: readonly WebAssembly.Module[];
}

/**
 * Compiles the kernels for shared or unshared memories: the common ones, and those of rare layouts only where a weight
 * names one. For the given target, or for the one that this engine can be trusted with.
 */
export async function compileFor(
	weights: readonly PlannedWeight[],
	runtime: Pick<Runtime, "kernels">,
	shared: boolean,
	wanted?: Target,
): Promise<CompiledKernels> {
	const compiled = new Map<KernelBuild, Promise<WebAssembly.Module>>();
	// The build that was tried out is the one that runs.
	const compile = (build: KernelBuild) => {
		const module = compiled.get(build) ?? runtime.kernels(build, shared);
		compiled.set(build, module);
		return module;
	};
	const target = wanted ?? (await chooseTarget(compile, shared));
	const builds: KernelBuild[] = [target];
	if ([...kernelsOf(weights)].some(isRare)) builds.push(`${target}-rare`);
	return { target, modules: await Promise.all(builds.map(compile)) };
}

/** The kernels that pack and read weights, and quantize what they are multiplied by. */
function kernelsOf(weights: readonly PlannedWeight[]): Set<KernelName> {
	const names = new Set<KernelName>();
	for (const { weight, matrix } of weights) {
		if (weight.shape.length === 1) continue;
		const { gemm, embed, activation } = layouts[weight.layout as Layout];
		const { quantize } = activations[activation];
		for (const name of [gemm, embed, quantize, matrix.pack])
			if (name !== undefined && isKernel(name)) names.add(name);
	}
	return names;
}
