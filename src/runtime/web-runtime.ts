import { compileKernels } from "../engine/kernels.ts";
import { fromBase64 } from "./base64.ts";
import { embeddedRepository } from "./embedded-files.ts";
import type { Runtime } from "./runtime.ts";
import { messageTurns, nowAndThen } from "./turns.ts";
import type { WebAssets } from "./web-assets.ts";
import { webCache } from "./web-cache.ts";
import { spawn } from "./web-threads.ts";

/** The thread that this is called on: of a page, of a worker, or of something that only knows the web's interfaces. */
export function webRuntime(assets: WebAssets): Runtime {
	const threadLimit = sharingLimit();
	return {
		name: "web",
		hub: async () => ({
			openCache: async (folder) =>
				folder === undefined ? webCache() : undefined,
		}),
		embedded: async () => embeddedRepository(await assets.model()),
		kernels: async (build, shared) =>
			compileKernels(fromBase64(await assets.kernels(build)), shared),
		threads:
			threadLimit === undefined
				? (globalThis.navigator?.hardwareConcurrency ?? 1)
				: 1,
		threadLimit,
		...(threadLimit === undefined ? { spawn } : {}),
		yield: nowAndThen(messageTurns()),
	};
}

/** Why memory cannot be shared with another thread; undefined where it can. */
function sharingLimit(): string | undefined {
	if (typeof Worker !== "function")
		return "this runtime has no workers, or none where this code runs";
	if (globalThis.crossOriginIsolated === false)
		return "the page is not cross-origin isolated: its server has to send Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
	if (typeof SharedArrayBuffer !== "function")
		return "this runtime has no SharedArrayBuffer";
	return undefined;
}
