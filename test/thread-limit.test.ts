import { afterEach, expect, test } from "vitest";
import * as simd from "../src/embedded/simd.js";
import { compileKernels } from "../src/engine/kernels.ts";
import type { Thread } from "../src/engine/pool.ts";
import { load } from "../src/load.ts";
import { Model } from "../src/model.ts";
import { fromBase64 } from "../src/runtime/base64.ts";
import { embeddedModel } from "../src/runtime/embedded.ts";

let model: Model | undefined;
afterEach(() => model?.dispose());

/** The embedded model in a runtime whose threads do not start. */
async function loadWith(spawn: () => Thread): Promise<Model> {
	const runtime = {
		name: "web",
		embedded: embeddedModel,
		kernels: async (_: unknown, shared: boolean) =>
			compileKernels(fromBase64(simd.base64), shared),
		threads: 2,
		spawn,
		yield: async () => {},
	} as const;
	model = new Model(await load(runtime, undefined, {}));
	return model;
}

test.each([
	[
		"cannot be made",
		() => {
			throw new Error("workers are not allowed");
		},
		/workers are not allowed/,
	],
	[
		"end at once",
		(): Thread => ({
			post() {},
			onMessage() {},
			onFailure: (listener) => queueMicrotask(() => listener("blocked")),
			keepAlive() {},
			stop: async () => {},
		}),
		/blocked/,
	],
])("one thread does the work of threads that %s", async (_, spawn, reason) => {
	const { info } = await loadWith(spawn);
	expect(info.threads).toBe(1);
	expect(info.threadLimit).toMatch(reason);
	const { text } = await model!.generate("Once upon a time", {
		maxNewTokens: 3,
	});
	expect(text).not.toBe("");
});
