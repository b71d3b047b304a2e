/** All formats of weights side by side: what they take in a file and in memory, and how fast they are loaded and run. */

import {
	type Loaded,
	type Round,
	type Rounds,
	takeTurns,
} from "./contender.ts";
import { formatNames } from "./formats/formats.ts";
import { loadSpeed, readThrough } from "./load.bench.ts";
import { load, type Machine, thisMachine } from "./machine.ts";
import {
	buildOf,
	type Configuration,
	type ModelBenchOptions,
	startNibble,
} from "./model.bench.ts";
import { type ModelFacts, modelFacts } from "./model-facts.ts";
import { weightsFile, withModelFile } from "./model-file.ts";
import { measureReadBandwidth } from "./roofline.ts";
import { type Speed, speedOf } from "./statistics.ts";
import { digits, printTable } from "./table.ts";

export interface FormatResult extends Configuration, ModelFacts {
	/** Build of the kernels. */
	readonly build: string;
	/** Bytes of the file per second. */
	readonly load: Speed;
	readonly prefill: Speed;
	readonly decode: Speed;
	/** What so many threads could read of memory, the better of just before and just after. */
	readonly readBytesPerSecond: number;
	readonly peakMemoryBytes: number;
}

export interface FormatBench extends Rounds {
	readonly machine: Machine;
	readonly loadBefore: number;
	readonly loadAfter: number;
	readonly results: readonly FormatResult[];
}

/** What is measured where nothing is said. */
export const formatDefaults = {
	mixes: formatNames.join(","),
	threads: "2",
	"prompt-tokens": "128",
	"new-tokens": "32",
	rounds: "3",
};

/**
 * One format after the other, each in processes of its own. A file is written before its turn, and deleted after it unless
 * it was there before. Formats that cannot be measured are left out, and said on stderr.
 */
export async function benchFormats({
	configurations,
	node,
	...rounds
}: ModelBenchOptions): Promise<FormatBench> {
	const loadBefore = load();
	const results: FormatResult[] = [];
	for (const [i, configuration] of configurations.entries()) {
		const { shape, mix } = configuration;
		const where = `${i + 1} of ${configurations.length}: ${shape} ${mix}`;
		console.error(where);
		try {
			results.push(
				await withModelFile(shape, mix, (path) =>
					benchFormat(path, configuration, rounds, node),
				),
			);
		} catch (error) {
			console.error(`${where} is left out: ${error}`);
		}
	}
	const machine = thisMachine();
	return { machine, loadBefore, loadAfter: load(), ...rounds, results };
}

async function benchFormat(
	path: string,
	configuration: Configuration,
	rounds: Rounds,
	node: string | undefined,
): Promise<FormatResult> {
	const { threads, options } = configuration;
	const facts = await modelFacts(path, options);
	const reading = async () =>
		(await measureReadBandwidth(threads))[threads - 1]!;
	const before = await reading();
	await readThrough(weightsFile(path));
	const loads: Loaded[] = [];
	const start = async () => {
		const contender = await startNibble(configuration, node);
		loads.push(contender.loaded);
		return contender;
	};
	for (let i = 1; i < rounds.rounds; i++) await (await start()).stop();
	const contender = await start();
	const [turns] = (await takeTurns([contender], rounds).finally(() =>
		contender.stop(),
	)) as [Round[]];
	return {
		...configuration,
		...facts,
		build: buildOf(contender.loaded),
		load: loadSpeed(loads, facts.fileBytes),
		prefill: speedOf(turns.map((t) => t.prefill)),
		decode: speedOf(turns.map((t) => t.decode)),
		readBytesPerSecond: Math.max(before, await reading()),
		peakMemoryBytes: Math.max(...turns.map((t) => t.peakMemoryBytes)),
	};
}

export function printFormats(bench: FormatBench): string {
	const { machine, promptTokens, newTokens, rounds, results } = bench;
	const GB = 1e9;
	const reading = results.map((r) => r.readBytesPerSecond / GB);
	const builds = [...new Set(results.map((r) => r.build))].join(", ");
	return [
		`${machine.processor}, ${machine.cores} cores, ${machine.system}, ${machine.date}; ${builds} kernels`,
		`load average ${bench.loadBefore.toFixed(1)} before, ${bench.loadAfter.toFixed(1)} after; threads read ${digits(Math.min(...reading))} to ${digits(Math.max(...reading))} GB/s`,
		`loading from cached files; prefill of ${promptTokens} tokens, then ${newTokens} tokens one by one; best of ${rounds}`,
		"",
		printTable([
			[
				"model",
				"format",
				"bytes/weight in file",
				"bits/weight in memory",
				"kernel",
				"threads",
				"load GB/s",
				"prefill tokens/s",
				"decode tokens/s",
				"% of reading",
				"peak MB",
			],
			...results.map((r) => [
				r.shape,
				[r.mix, ...Object.values(r.options)].join(" "),
				(r.fileBytes / r.parameters).toFixed(3),
				((8 * r.weightBytes) / r.parameters).toFixed(2),
				r.kernels.join(", "),
				String(r.threads),
				digits(r.load.best / GB),
				digits(r.prefill.best),
				digits(r.decode.best),
				((100 * r.decode.best * r.stepBytes) / r.readBytesPerSecond).toFixed(0),
				(r.peakMemoryBytes / 1e6).toFixed(0),
			]),
		]),
	].join("\n");
}
