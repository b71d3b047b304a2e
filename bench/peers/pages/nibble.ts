import { Model, version } from "../../../src/runtime/web.ts";
import { servePage } from "./page.ts";

const greedy = { ignoreEos: true, doSample: false };

await servePage(async (fetchModel, threads) => {
	const file = await fetchModel();
	const model = await Model.load(file, { threads });
	const { info } = model;
	return {
		about: `nibble-lm ${version}, ${info.kernels} kernels, ${info.threads} threads`,
		loadMs: info.loadMs,
		async prefill(ids) {
			await model.generate({ ids }, { ...greedy, maxNewTokens: 1 });
		},
		async decode(ids, count) {
			// The prompt is still there, but for its last token: that is the first step.
			await model.generate({ ids }, { ...greedy, maxNewTokens: count });
		},
	};
});
