import {
	AutoModelForCausalLM,
	type DynamicCache,
	env,
	Tensor,
} from "@huggingface/transformers";
import { servePage } from "./page.ts";

const dtype = new URLSearchParams(location.search).get("dtype") as "q4" | "q8";

/** No network: models and WebAssembly come from the page's own server. */
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/models/";
env.useBrowserCache = false;
env.useWasmCache = false;
const { wasm, versions } = env.backends.onnx;
if (!wasm)
	throw new Error("transformers.js has no ONNX Runtime in WebAssembly");
const build = "/transformers-ort/ort-wasm-simd-threaded.asyncify";
wasm.wasmPaths = { mjs: `${build}.mjs`, wasm: `${build}.wasm` };

/** With `return_dict_in_generate`. */
interface Generated {
	readonly sequences: Tensor;
	readonly past_key_values: DynamicCache;
}

const row = (values: readonly number[]) =>
	new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);

await servePage(async (_, threads) => {
	wasm.numThreads = threads;
	const start = performance.now();
	const model = await AutoModelForCausalLM.from_pretrained("model", {
		dtype,
		device: "wasm",
	});
	const loadMs = performance.now() - start;
	/** @param past keys and values of all ids but the last, or none */
	const generate = async (
		ids: readonly number[],
		count: number,
		past: DynamicCache | null,
	) =>
		(await model.generate({
			inputs: row(ids),
			attention_mask: row(ids.map(() => 1)),
			max_new_tokens: count,
			do_sample: false,
			return_dict_in_generate: true,
			past_key_values: past,
		})) as Generated;
	let past: DynamicCache | null = null;
	return {
		about: `transformers.js ${env.version}, onnxruntime-web ${versions?.web}, ${wasm.numThreads} threads`,
		loadMs,
		async prefill(ids) {
			past = (await generate(ids, 1, null)).past_key_values;
		},
		async decode(ids, count) {
			// All of the prompt has been computed; one token more is the first step.
			const text = [...ids, ids[0]!];
			const { sequences } = await generate(text, count, past);
			if (sequences.dims[1] !== text.length + count)
				throw new Error(
					`${sequences.dims[1]! - text.length} of ${count} tokens`,
				);
		},
	};
});
