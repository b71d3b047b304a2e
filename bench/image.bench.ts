/**
 * From an image to soft tokens, at Gemma 3's true shape: node scripts/run.mjs bench/image.bench.ts [--mmproj Q8_0] [--text Q4_0]
 * [--threads 2] [--rounds 3] [--kernels simd] [--profile]. The best of all rounds, and the time of all threads on a core.
 */
import { parseArgs } from "node:util";
import { printProfile, summarize } from "../src/cli/profile.ts";
import {
	type LoadOptions,
	Model,
	type StepProfile,
} from "../src/runtime/server.ts";
import { load } from "./machine.ts";
import type { MixName } from "./mixes.ts";
import { mmprojFile, modelFile } from "./model-file.ts";
import { digits } from "./table.ts";
import { multiplications, gemma3Vision as shape } from "./vision-shape.ts";
import type { VisionMix } from "./write-mmproj.ts";

const SOFT_TOKEN = 262_144;
const SOFT_TOKENS = 256;

const { values } = parseArgs({
	options: {
		text: { type: "string", default: "Q4_0" },
		mmproj: { type: "string", default: "Q8_0" },
		threads: { type: "string", default: "2" },
		rounds: { type: "string", default: "3" },
		kernels: { type: "string" },
		profile: { type: "boolean" },
	},
});

const side = shape.image_size;
/** Another one each time: an image that was seen before is not encoded again. */
const image = (round: number) => ({
	width: side,
	height: side,
	data: Uint8Array.from(
		{ length: side * side * 4 },
		(_, i) => i * 7919 + round,
	),
});
const ids = [1, ...new Array<number>(SOFT_TOKENS).fill(SOFT_TOKEN), 2];
const patches = Math.floor(side / shape.patch_size) ** 2;

const profiles: StepProfile[] = [];
let cpuMs = 0;
const ownCpuMs = () => {
	const { user, system } = process.cpuUsage();
	return (user + system) / 1000;
};

const model = await Model.load(
	await modelFile("gemma-3-4b-it", values.text as MixName),
	{
		mmproj: await mmprojFile(values.mmproj as VisionMix),
		threads: Number(values.threads),
		contextTokens: 4096,
		kernels: values.kernels as LoadOptions["kernels"],
		onProfile(profile) {
			if (profile.rows !== patches) return;
			profiles.push(profile);
			cpuMs = ownCpuMs();
		},
	},
);
const { info } = model;
console.log(
	`gemma-3-4b-it ${values.text}, mmproj ${values.mmproj}: ${info.weightBytes / 1e6} MB of weights in ${info.banks} banks, ${info.threads} threads, ${info.kernels} kernels, loaded in ${info.loadMs.toFixed(0)} ms, load average ${load().toFixed(1)}`,
);
const onCore: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
	const before = ownCpuMs();
	await model.logits(ids, { images: [image(round)] });
	onCore.push(cpuMs - before);
	const { stepMs } = profiles.at(-1)!;
	console.log(
		`image ${(stepMs / 1000).toFixed(1)} s, ${((cpuMs - before) / 1000).toFixed(1)} s on a core`,
	);
}
const best = Math.min(...onCore);
console.log(
	`${digits(multiplications(shape) / best / 1e6)} GMAC per second on a core; peak ${(process.resourceUsage().maxRSS / 1000).toFixed(0)} MB, load average ${load().toFixed(1)}`,
);
if (values.profile)
	for (const summary of summarize(profiles)) console.log(printProfile(summary));
await model.dispose();
