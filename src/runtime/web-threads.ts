import { source } from "../embedded/worker.js";
import type { Thread } from "../engine/pool.ts";
import type { FromPart } from "../engine/worker.ts";

/** A thread of a browser. Its code comes as a text, so it needs no file that a bundler or a server would have to find. */
export function spawn(): Thread {
	const url = URL.createObjectURL(
		new Blob([source], { type: "text/javascript" }),
	);
	const worker = new Worker(url, { type: "module", name: "nibble-lm" });
	return {
		post: (message) => worker.postMessage(message),
		onMessage(listener) {
			worker.addEventListener("message", ({ data }: MessageEvent<FromPart>) => {
				// Once it speaks it has been read.
				URL.revokeObjectURL(url);
				listener(data);
			});
		},
		onFailure(listener) {
			const fail = ({ message }: { message?: string }) =>
				listener(
					message ||
						"did not start; does the content security policy allow worker-src blob:?",
				);
			worker.addEventListener("error", fail, { once: true });
			worker.addEventListener(
				"messageerror",
				() => fail({ message: "was sent what it cannot read" }),
				{ once: true },
			);
		},
		keepAlive() {
			// A page lives as long as its window, whatever its workers do.
		},
		async stop() {
			worker.terminate();
			URL.revokeObjectURL(url);
		},
	};
}
