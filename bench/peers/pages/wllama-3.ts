import { Wllama } from "wllama-3/esm/index.js";
import { servePage } from "./page.ts";

/** Characters that no merge of a made vocabulary joins (vocabulary.ts): each is a token. */
const UNJOINED = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const letter = (id: number) => UNJOINED[id % UNJOINED.length]!;

await servePage(async (fetchModel, threads) => {
	const file = await fetchModel();
	const wllama = new Wllama(
		{ default: "/wllama-3.wasm" },
		{ suppressNativeLog: true },
	);
	const start = performance.now();
	await wllama.loadModel([file], {
		n_ctx: 4096,
		n_batch: 512,
		n_ubatch: 512,
		n_threads: threads,
	});
	const loadMs = performance.now() - start;
	// It takes only texts. As with ours, the second call finds all of the prompt but its last token in memory.
	const complete = async (ids: readonly number[], count: number) => {
		const options = {
			prompt: ids.map(letter).join(""),
			max_tokens: count,
			temperature: 0,
			cache_prompt: true,
			// Its types leave this one out.
			ignore_eos: true,
		};
		const { timings } = await wllama.createCompletion(options);
		return timings!;
	};
	return {
		about: `wllama 3.8.1, ${threads} threads`,
		loadMs,
		async prefill(ids) {
			const { prompt_n } = await complete(ids, 1);
			if (prompt_n < ids.length)
				throw new Error(`${prompt_n} of ${ids.length} tokens computed`);
		},
		async decode(ids, count) {
			const { predicted_n } = await complete(ids, count);
			if (predicted_n !== count)
				throw new Error(`${predicted_n} of ${count} tokens generated`);
		},
	};
});
