/** Cloudflare's workerd: modules are compiled ahead of time, there is one thread, and no file system. */
import { type Bound, bindRuntime } from "../bind.ts";
import type { KernelBuild, Runtime } from "./runtime.ts";

const KERNELS = {
	simd: () => import("../embedded/simd.wasm"),
	relaxed: () => import("../embedded/relaxed.wasm"),
	"simd-rare": () => import("../embedded/simd-rare.wasm"),
	"relaxed-rare": () => import("../embedded/relaxed-rare.wasm"),
} satisfies Record<KernelBuild, unknown>;

export const bindWorkerd = (embedded: Runtime["embedded"]): Bound =>
	bindRuntime({
		name: "workerd",
		embedded,
		kernels: async (build) => (await KERNELS[build]()).default,
		webpModule: async () =>
			(await import("@jsquash/webp/codec/dec/webp_dec.wasm")).default,
		threads: 1,
		threadLimit: "workerd has no threads",
		yield: () => new Promise((resolve) => setTimeout(resolve, 0)),
	});
