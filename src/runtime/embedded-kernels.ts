import type { KernelBuild } from "./runtime.ts";

const BUILDS = {
	simd: () => import("../embedded/simd.js"),
	relaxed: () => import("../embedded/relaxed.js"),
	"simd-rare": () => import("../embedded/simd-rare.js"),
	"relaxed-rare": () => import("../embedded/relaxed-rare.js"),
} satisfies Record<KernelBuild, unknown>;

/** A build of the kernels, base64. Each is read when somebody asks for it. */
export async function embeddedKernels(build: KernelBuild): Promise<string> {
	return (await BUILDS[build]()).base64;
}
