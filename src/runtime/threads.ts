import { Worker } from "node:worker_threads";
import { source } from "../embedded/worker.js";
import type { Thread } from "../engine/pool.ts";
import type { FromPart } from "../engine/worker.ts";

/** A thread of Node, Deno or Bun. All three end the process although one waits, once `keepAlive(false)` was called. */
export function spawn(): Thread {
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
			if (stopping) return;
			if (yes) worker.ref();
			else worker.unref();
		},
		async stop() {
			stopping = true;
			// Nothing else may keep the process alive until the thread has ended, and somebody waits for that.
			worker.ref();
			await worker.terminate();
		},
	};
}
