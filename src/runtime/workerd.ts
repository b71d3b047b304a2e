/** Cloudflare's workerd: modules are compiled ahead of time, there is one thread, and no file system. */
import { bindRuntime } from "../bind.ts";
import type { Model as LoadedModel } from "../model.ts";
import { embeddedModel } from "./embedded.ts";
import type { KernelBuild, Runtime } from "./runtime.ts";

const KERNELS = {
	simd: () => import("../embedded/simd.wasm"),
	relaxed: () => import("../embedded/relaxed.wasm"),
	"simd-rare": () => import("../embedded/simd-rare.wasm"),
	"relaxed-rare": () => import("../embedded/relaxed-rare.wasm"),
} satisfies Record<KernelBuild, unknown>;

const runtime: Runtime = {
	name: "workerd",
	embedded: embeddedModel,
	kernels: async (build) => (await KERNELS[build]()).default,
	threads: 1,
	threadLimit: "workerd has no threads",
	yield: () => new Promise((resolve) => setTimeout(resolve, 0)),
};

export * from "../index.ts";

const bound = bindRuntime(runtime);
export const Model = bound.Model;
export type Model = LoadedModel;
export const loadTokenizer = bound.loadTokenizer;
