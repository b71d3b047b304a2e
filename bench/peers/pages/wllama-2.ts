import { Wllama } from "wllama-2/esm/index.js";
import { servePage } from "./page.ts";

await servePage(async (fetchModel, threads) => {
	const file = await fetchModel();
	const wllama = new Wllama(
		{
			"single-thread/wllama.wasm": "/single.wasm",
			"multi-thread/wllama.wasm": "/multi.wasm",
		},
		{ suppressNativeLog: true },
	);
	const start = performance.now();
	await wllama.loadModel([file], {
		n_ctx: 4096,
		n_batch: 512,
		n_threads: threads,
	});
	return {
		about: `wllama 2.3.7, ${wllama.getNumThreads()} threads`,
		loadMs: performance.now() - start,
		async prefill(ids) {
			await wllama.kvClear();
			await wllama.decode([...ids], {});
		},
		async decode(ids, count) {
			for (let i = 0; i < count; i++)
				await wllama.decode([ids[i % ids.length]!], {});
		},
	};
});
