/** This library as a contender: node scripts/run.mjs bench/nibble.contender.ts MODEL THREADS [OPTIONS-OF-LOAD-AS-JSON] */
import { type LoadOptions, Model, version } from "../src/runtime/server.ts";
import { serveRounds } from "./contender.ts";

const [path, threads, options = "{}"] = process.argv.slice(2);
const greedy = { ignoreEos: true, doSample: false };

const before = process.cpuUsage();
const model = await Model.load(path, {
	...(JSON.parse(options) as LoadOptions),
	threads: Number(threads),
});
const { user, system } = process.cpuUsage(before);
const { info } = model;

serveRounds({
	loaded: {
		loadMs: info.loadMs,
		loadCpuMs: (user + system) / 1000,
		weightBytes: info.weightBytes,
		about: `nibble-lm ${version}, ${info.kernels} kernels, Node ${process.versions.node}`,
	},
	vocabularySize: info.vocabularySize,
	async prefill(ids) {
		await model.generate({ ids }, { ...greedy, maxNewTokens: 1 });
	},
	async decode(ids, count) {
		// The prompt is still there, but for its last token: that is the first step.
		const { timings } = await model.generate(
			{ ids },
			{ ...greedy, maxNewTokens: count },
		);
		if (timings.reusedTokens !== ids.length - 1)
			throw new Error("the prompt was computed again");
	},
});
