import type * as ort from "onnxruntime-web";
import { servePage } from "./page.ts";

/** Loaded as it is: its threads start from its own address. */
const library = "/ort/ort.wasm.min.mjs";
const { env, InferenceSession, Tensor } = (await import(library)) as typeof ort;

const query = new URLSearchParams(location.search);
const layers = Number(query.get("layers"));
const kvHeads = Number(query.get("kvHeads"));
const headSize = Number(query.get("headSize"));

await servePage(async (fetchModel, threads) => {
	const file = await fetchModel();
	env.wasm.numThreads = threads;
	const start = performance.now();
	const session = await InferenceSession.create(await file.arrayBuffer(), {
		executionProviders: ["wasm"],
		graphOptimizationLevel: "all",
	});
	const loadMs = performance.now() - start;
	let past: Record<string, ort.Tensor> = {};
	let length = 0;
	const forget = () => {
		length = 0;
		past = {};
		for (let i = 0; i < layers; i++)
			for (const kind of ["key", "value"])
				past[`past_key_values.${i}.${kind}`] = new Tensor(
					"float32",
					new Float32Array(0),
					[1, kvHeads, 0, headSize],
				);
	};
	const step = async (ids: readonly number[]) => {
		length += ids.length;
		const results = await session.run({
			...past,
			input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), [
				1,
				ids.length,
			]),
			attention_mask: new Tensor("int64", new BigInt64Array(length).fill(1n), [
				1,
				length,
			]),
		});
		for (const name of Object.keys(past))
			past[name] = results[name.replace("past_key_values", "present")]!;
	};
	return {
		about: `onnxruntime-web ${env.versions.web}, ${env.wasm.numThreads} threads`,
		loadMs,
		async prefill(ids) {
			forget();
			await step(ids);
		},
		async decode(ids, count) {
			for (let i = 0; i < count; i++) await step([ids[i % ids.length]!]);
		},
	};
});
