import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shapes } from "../../bench/shapes.ts";
import { writeModel } from "../../bench/write-model.ts";
import { type Heap, type Isolate, inspectIsolate } from "./isolate.ts";
import { bundleWorker, prepareStage } from "./stage.ts";
import { openWorkerd, requireMiniflare, type Workerd } from "./workerd.ts";

/** What Cloudflare gives an isolate: "JavaScript heap and WebAssembly memory". 128 MiB may be meant; this is the stricter. */
const LIMIT_BYTES = 128e6;

/** Megabytes of an isolate. The local workerd sets no limit, but its inspector says how large the heap is. */
interface Use {
	readonly heap: number;
	readonly buffers: number;
	readonly wasm: number;
}
const sum = ({ heap, buffers, wasm }: Use) => heap + buffers + wasm;
const said = (use: Use) =>
	`${(sum(use) / 1e6).toFixed(1)} MB: ${Object.entries(use)
		.map(([name, bytes]) => `${name} ${(bytes / 1e6).toFixed(1)}`)
		.join(", ")}`;

describe("SmolLM2-135M in 4 bits, from a bucket", () => {
	let workerd: Workerd;
	let isolate: Isolate;
	let watching = true;
	let highest: Heap = { usedSize: 0, backingStorageSize: 0 };
	let watched: Promise<void>;

	const total = (heap: Heap) => heap.usedSize + heap.backingStorageSize;
	/** What there is, or the most that ever was of the heap: memories only grow. */
	const use = async (heap?: Heap): Promise<Use> => {
		const response = await workerd.dispatchFetch("http://localhost/");
		const memories = (await response.json()) as number[];
		const { usedSize, backingStorageSize } = heap ?? (await isolate.heap());
		return {
			heap: usedSize,
			buffers: backingStorageSize,
			wasm: memories.reduce((sum, bytes) => sum + bytes, 0),
		};
	};
	const ask = (prompt: string, max: number) =>
		workerd.dispatchFetch(`http://localhost/?max=${max}`, {
			method: "POST",
			body: prompt,
		});

	beforeAll(async () => {
		const stage = prepareStage("memory");
		const folder = join(stage, "bundle");
		// Beside the installed package, which it imports.
		const entry = join(stage, "r2-worker.ts");
		cpSync("test/runtimes/r2-worker.ts", entry);
		bundleWorker(entry, folder);
		const file = join(stage, "model.gguf");
		await writeModel(file, shapes["SmolLM2-135M"], "Q4_0");
		workerd = await openWorkerd(folder, {
			inspectorPort: 0,
			r2Buckets: ["MODELS"],
		});
		const bucket = await workerd.getR2Bucket("MODELS");
		await bucket.put("model.gguf", new Uint8Array(readFileSync(file)));
		isolate = await inspectIsolate(
			await workerd.getInspectorURL(),
			requireMiniflare(),
		);
		watched = (async () => {
			while (watching) {
				const heap = await isolate.heap();
				if (total(heap) > total(highest)) highest = heap;
				await setTimeout(5);
			}
		})();
	}, 120_000);

	afterAll(async () => {
		watching = false;
		await watched;
		isolate?.close();
		await workerd?.dispose();
	});

	test("streams, in less than an isolate has", async () => {
		const empty = await use();
		console.log(`before it is loaded ${said(empty)}`);
		const response = await ask("Once upon a time", 20);
		expect(response.status).toBe(200);
		expect(response.headers.get("vocabulary")).toBe("49152");
		let pieces = 0;
		for await (const _ of response.body!) pieces++;
		expect(pieces).toBeGreaterThan(10);
		const loading = await use(highest);
		console.log(`at most, while it loads ${said(loading)}`);
		expect(sum(loading)).toBeLessThan(LIMIT_BYTES);

		// As long as the context.
		highest = { usedSize: 0, backingStorageSize: 0 };
		const long = await ask("a b ".repeat(120), 250);
		expect((await long.text()).length).toBeGreaterThan(250);
		const writing = await use(highest);
		console.log(`at most, while it writes ${said(writing)}`);
		expect(sum(writing)).toBeLessThan(LIMIT_BYTES);

		isolate.collectGarbage();
		await setTimeout(500);
		const rest = await use();
		console.log(`at rest ${said(rest)}`);
		expect(sum(rest)).toBeLessThan(LIMIT_BYTES);
		// The weights are in there: nothing that is large is overlooked.
		expect(rest.wasm).toBeGreaterThan(100e6);
	}, 120_000);
});
