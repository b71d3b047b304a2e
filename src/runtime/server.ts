/** Node, Deno and Bun: all three are best served by node:worker_threads and node:fs. */
import { availableParallelism, freemem } from "node:os";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import * as relaxed from "../embedded/relaxed.js";
import * as simd from "../embedded/simd.js";
import { source } from "../embedded/worker.js";
import { compileKernels } from "../engine/kernels.ts";
import type { Thread } from "../engine/pool.ts";
import type { FromPart } from "../engine/worker.ts";
import { bindRuntime } from "../index.ts";
import { fromBase64 } from "./base64.ts";
import { embeddedModel } from "./embedded.ts";
import { openPath } from "./files.ts";
import type { Runtime } from "./runtime.ts";

function spawn(): Thread {
	const worker = new Worker(
		new URL(`data:text/javascript,${encodeURIComponent(source)}`),
	);
	let stopping = false;
	return {
		post: (message) => worker.postMessage(message),
		onMessage(listener) {
			worker.on("message", (message: FromPart) => listener(message));
		},
		onFailure(listener) {
			worker.once("error", (error) => listener(String(error)));
			worker.once("exit", (code) => {
				if (!stopping) listener(`ended with exit code ${code}`);
			});
		},
		keepAlive(yes) {
			if (yes) worker.ref();
			else worker.unref();
		},
		async stop() {
			stopping = true;
			await worker.terminate();
		},
	};
}

const runtime: Runtime = {
	name: "server",
	openPath,
	embedded: embeddedModel,
	async kernels(target, shared) {
		const { base64 } = target === "relaxed" ? relaxed : simd;
		return compileKernels(fromBase64(base64), shared);
	},
	threads: availableParallelism(),
	spawn,
	yield: () => setImmediate(),
	freeMemoryBytes: freemem,
};

export * from "../index.ts";
export const { Model, loadTokenizer } = bindRuntime(runtime);
export type Model = InstanceType<typeof Model>;
