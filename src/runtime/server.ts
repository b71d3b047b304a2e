/** Node, Deno and Bun: all three are best served by node:worker_threads and node:fs. */
import { availableParallelism } from "node:os";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { bindRuntime } from "../bind.ts";
import { compileKernels } from "../engine/kernels.ts";
import type { Model as LoadedModel } from "../model.ts";
import { fromBase64 } from "./base64.ts";
import { embeddedModel } from "./embedded.ts";
import { embeddedKernels } from "./embedded-kernels.ts";
import { openPath } from "./files.ts";
import { hubSurroundings } from "./hub-surroundings.ts";
import type { Runtime } from "./runtime.ts";
import { spawn } from "./threads.ts";
import { nowAndThen } from "./turns.ts";
import { webpModule } from "./webp.ts";

const runtime: Runtime = {
	name: "server",
	openPath,
	hub: () => hubSurroundings(),
	embedded: embeddedModel,
	kernels: async (build, shared) =>
		compileKernels(fromBase64(await embeddedKernels(build)), shared),
	threads: availableParallelism(),
	spawn,
	yield: nowAndThen(() => setImmediate()),
	// Unlike os.freemem it counts what the system would give up for us, such as cached files; Node 20.13 has it.
	webpModule,
	freeMemoryBytes() {
		try {
			return (process as { availableMemory?(): number }).availableMemory?.();
		} catch {
			// Deno asks for a permission, which nobody should have to give for this.
			return undefined;
		}
	},
};

export * from "../index.ts";

const bound = bindRuntime(runtime);
export const Model = bound.Model;
export type Model = LoadedModel;
export const loadTokenizer = bound.loadTokenizer;
