/** Browsers, in pages and in workers, and whatever else knows only the web's own interfaces. */
import { bindRuntime } from "../bind.ts";
import * as relaxed from "../embedded/relaxed.js";
import * as simd from "../embedded/simd.js";
import { compileKernels } from "../engine/kernels.ts";
import type { Model as LoadedModel } from "../model.ts";
import { fromBase64 } from "./base64.ts";
import { embeddedModel } from "./embedded.ts";
import type { Runtime } from "./runtime.ts";
import { webCache } from "./web-cache.ts";
import { spawn } from "./web-threads.ts";

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

/** Messages come back after what already waits, and unlike timers are not slowed down when they follow each other. */
function messageTurn(): Promise<void> {
	return new Promise((resolve) => {
		const { port1, port2 } = new MessageChannel();
		port1.onmessage = () => {
			port1.close();
			resolve();
		};
		port2.postMessage(undefined);
	});
}

const threadLimit = sharingLimit();

const runtime: Runtime = {
	name: "web",
	hub: async () => ({
		openCache: async (folder) =>
			folder === undefined ? webCache() : undefined,
	}),
	embedded: embeddedModel,
	async kernels(target, shared) {
		const { base64 } = target === "relaxed" ? relaxed : simd;
		return compileKernels(fromBase64(base64), shared);
	},
	threads:
		threadLimit === undefined
			? (globalThis.navigator?.hardwareConcurrency ?? 1)
			: 1,
	threadLimit,
	...(threadLimit === undefined ? { spawn } : {}),
	yield: messageTurn,
};

export * from "../index.ts";

const bound = bindRuntime(runtime);
export const Model = bound.Model;
export type Model = LoadedModel;
export const loadTokenizer = bound.loadTokenizer;
