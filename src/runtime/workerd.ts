/** Cloudflare's workerd: modules are compiled ahead of time, there is one thread, and no file system. */
import { bindRuntime } from "../bind.ts";
import relaxed from "../embedded/relaxed.wasm";
import simd from "../embedded/simd.wasm";
import type { Model as LoadedModel } from "../model.ts";
import { embeddedModel } from "./embedded.ts";
import type { Runtime } from "./runtime.ts";

const runtime: Runtime = {
	name: "workerd",
	embedded: embeddedModel,
	kernels: async (target) => (target === "relaxed" ? relaxed : simd),
	threads: 1,
	threadLimit: "workerd has no threads",
	yield: () => new Promise((resolve) => setTimeout(resolve, 0)),
};

export * from "../index.ts";

const bound = bindRuntime(runtime);
export const Model = bound.Model;
export type Model = LoadedModel;
export const loadTokenizer = bound.loadTokenizer;
