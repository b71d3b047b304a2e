import process from "node:process";
import type { Model, StepProfile } from "../runtime/server.ts";
import { command, UsageError } from "./arguments.ts";
import { modelFlags } from "./flags.ts";
import { withModel } from "./loading.ts";
import { peakMemoryBytes, perSecond } from "./measurement.ts";
import { printProfile, summarize } from "./profile.ts";

const WARM_UP = { promptTokens: 32, newTokens: 8 };

export const bench = command({
	about: "Prefill and decode speed with fixed token ids and no sampling.",
	flags: [
		...modelFlags,
		"prompt-tokens",
		"new-tokens",
		"repeat",
		"profile",
		"json",
	],
	async run(flags) {
		const promptTokens = atLeastOne(
			"prompt-tokens",
			flags["prompt-tokens"] ?? 512,
		);
		const newTokens = atLeastOne("new-tokens", flags["new-tokens"] ?? 64);
		const repeat = atLeastOne("repeat", flags.repeat ?? 3);
		const profiles: StepProfile[] = [];
		const onProfile = flags.profile
			? (profile: StepProfile) => void profiles.push(profile)
			: undefined;
		const use = async (model: Model) => {
			const { vocabularySize } = model.info;
			const idsOf = (run: number, count: number) =>
				fixedIds(run, count, vocabularySize);
			// Not counted: the engine still compiles the kernels' fast versions.
			await measure(
				model,
				idsOf(0, Math.min(promptTokens, WARM_UP.promptTokens)),
				Math.min(newTokens, WARM_UP.newTokens),
			);
			profiles.length = 0;
			const runs: Speed[] = [];
			for (let run = 1; run <= repeat; run++)
				runs.push(await measure(model, idsOf(run, promptTokens), newTokens));
			const record = {
				promptTokens,
				newTokens,
				repeat,
				threads: model.info.threads,
				kernels: model.info.kernels,
				loadMs: model.info.loadMs,
				prefillTokensPerSecond: median(
					runs.map((run) => run.prefillTokensPerSecond),
				),
				decodeTokensPerSecond: median(
					runs.map((run) => run.decodeTokensPerSecond),
				),
				peakMemoryBytes: peakMemoryBytes(),
				runs,
				...(flags.profile ? { profile: summarize(profiles) } : {}),
			};
			process.stdout.write(
				flags.json
					? `${JSON.stringify(record)}\n`
					: [
							`${model.info.architecture}, ${record.threads} threads, ${record.kernels} kernels, median of ${repeat}`,
							`prefill  ${record.prefillTokensPerSecond.toFixed(1).padStart(8)} tokens/s over ${promptTokens} tokens`,
							`decode   ${record.decodeTokensPerSecond.toFixed(1).padStart(8)} tokens/s over ${newTokens} tokens`,
							...(record.profile ?? []).map((p) => `\n${printProfile(p)}`),
							"",
						].join("\n"),
			);
			return 0;
		};
		return withModel(flags, use, { onProfile });
	},
});

interface Speed {
	readonly prefillTokensPerSecond: number;
	readonly decodeTokensPerSecond: number;
}

async function measure(
	model: Model,
	ids: number[],
	newTokens: number,
): Promise<Speed> {
	const { timings, tokenIds } = await model.generate(
		{ ids },
		{ maxNewTokens: newTokens, ignoreEos: true, doSample: false },
	);
	return {
		prefillTokensPerSecond: perSecond(
			ids.length - timings.reusedTokens,
			timings.prefillMs,
		),
		decodeTokensPerSecond: perSecond(tokenIds.length - 1, timings.decodeMs),
	};
}

/** The same ids on every machine, spread over the vocabulary. Each run begins differently, or it would find its prompt in the cache. */
function fixedIds(
	run: number,
	count: number,
	vocabularySize: number,
): number[] {
	return Array.from(
		{ length: count },
		(_, i) => (run + 1 + i * 7919) % vocabularySize,
	);
}

function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1
		? sorted[middle]!
		: (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function atLeastOne(flag: string, value: number): number {
	if (value >= 1) return value;
	throw new UsageError(`--${flag} is ${value}, expected at least 1`);
}
