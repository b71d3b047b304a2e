import { statSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { compileKernels } from "../src/engine/kernels.ts";
import { load } from "../src/load.ts";
import { Model } from "../src/model.ts";
import { fromBase64 } from "../src/runtime/base64.ts";
import { embeddedModel } from "../src/runtime/embedded.ts";
import { embeddedKernels } from "../src/runtime/embedded-kernels.ts";
import type { KernelBuild } from "../src/runtime/runtime.ts";
import { spawn } from "../src/runtime/threads.ts";
import type { Source } from "../src/sources/open.ts";
import { nanoGguf } from "./quantized-nano-gguf.ts";

const BUILDS = ["simd", "relaxed", "simd-rare", "relaxed-rare"] as const;
/** Most bytes of a build: a page that runs a model waits for one or two of them. */
const MOST_BYTES = 200_000;

test.each(BUILDS)("%s is no larger than a page may wait for", (build) => {
	expect(statSync(`build/${build}.wasm`).size).toBeLessThanOrEqual(MOST_BYTES);
});

describe("what a model loads", () => {
	let model: Model | undefined;
	afterEach(() => model?.dispose());

	/** Loads a model, and says which builds of the kernels were compiled for it. */
	async function loadWith(
		source: Source | undefined,
		options: { threads: number; banks?: number; kernels?: "simd" },
	): Promise<KernelBuild[]> {
		const compiled: KernelBuild[] = [];
		const runtime = {
			name: "web",
			embedded: embeddedModel,
			async kernels(build: KernelBuild, shared: boolean) {
				compiled.push(build);
				return compileKernels(fromBase64(await embeddedKernels(build)), shared);
			},
			threads: 2,
			spawn,
			yield: async () => {},
		} as const;
		model = new Model(await load(runtime, source, options));
		return compiled;
	}

	const ids = Array.from({ length: 20 }, (_, i) => 40 + 13 * i);
	const logits = async () => (await model!.logits(ids))[0]!;

	test("is the common module alone, for common weights", async () => {
		expect(await loadWith(undefined, { threads: 1, kernels: "simd" })).toEqual([
			"simd",
		]);
		await model!.dispose();
		const probed = await loadWith(undefined, { threads: 1 });
		const { kernels } = model!.info;
		// Each once: what was tried out is what runs.
		expect(probed).toEqual([...new Set(["relaxed", kernels])]);
	});

	test.each(["Q5_0", "Q3_K", "TQ2_0"])(
		"is both modules for %s, and any threads and banks then agree",
		async (type) => {
			const file = await nanoGguf(type, /layers\.0\.mlp/);
			const source = new File([file as Uint8Array<ArrayBuffer>], "nano.gguf");
			const compiled = await loadWith(source, { threads: 1, kernels: "simd" });
			expect(compiled).toEqual(["simd", "simd-rare"]);
			expect(model!.info.schemes[type]).toBe(3);
			const alone = await logits();
			expect(alone.some((x) => x !== alone[0])).toBe(true);
			for (const banks of [1, 2]) {
				await model!.dispose();
				await loadWith(source, { threads: 2, banks, kernels: "simd" });
				expect(model!.info).toMatchObject({ threads: 2, banks });
				expect(await logits()).toEqual(alone);
			}
			await model!.dispose();
			const probed = await loadWith(source, { threads: 1 });
			expect(probed).toContain(`${model!.info.kernels}-rare`);
		},
	);
});
