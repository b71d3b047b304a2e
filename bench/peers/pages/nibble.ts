import { Model, version } from "../../../src/runtime/web.ts";
import { fetchBlob, servePage } from "./page.ts";

/** Names of the model's files, where it is a folder. */
const folder = new URLSearchParams(location.search).get("files")?.split(",");

const fetchFolder = (names: readonly string[]): Promise<File[]> =>
	Promise.all(
		names.map(
			async (name) => new File([await fetchBlob(`/model/${name}`)], name),
		),
	);

const greedy = { ignoreEos: true, doSample: false };

await servePage(async (fetchModel, threads) => {
	const source = folder ? await fetchFolder(folder) : await fetchModel();
	const model = await Model.load(source, { threads });
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
