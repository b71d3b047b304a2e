/** Tokens per second of whole models with random weights at true shapes. */

import { parseArgs } from "node:util";
import type { LoadOptions } from "../src/runtime/server.ts";
import {
	type Contender,
	type Loaded,
	type Rounds,
	startContender,
	takeTurns,
} from "./contender.ts";
import { type FormatName, formatNames } from "./formats/formats.ts";
import { load, type Machine, thisMachine } from "./machine.ts";
import { modelFacts } from "./model-facts.ts";
import { modelFile } from "./model-file.ts";
import { measureReadBandwidth } from "./roofline.ts";
import { type ShapeName, shapes } from "./shapes.ts";
import { type Speed, speedOf } from "./statistics.ts";
import { digits, printTable } from "./table.ts";

export interface Configuration {
	readonly shape: ShapeName;
	readonly mix: FormatName;
	readonly threads: number;
	readonly options: Pick<
		LoadOptions,
		"kernels" | "cache" | "chunkTokens" | "activations"
	>;
}

export interface ModelResult extends Configuration {
	/** Build of the kernels that ran. */
	readonly kernels: string;
	readonly prefill: Speed;
	readonly decode: Speed;
	/** Bytes of weights that decoding read per second in its best round, and what part of what can be read that is. */
	readonly decodeBytesPerSecond: number;
	readonly ofRoofline: number;
	readonly peakMemoryBytes: number;
	readonly loadMs: number;
}

export interface ModelBench extends Rounds {
	readonly machine: Machine;
	readonly loadBefore: number;
	readonly loadAfter: number;
	/** By threads, from 1. */
	readonly readBytesPerSecond: readonly number[];
	readonly results: readonly ModelResult[];
}

export interface ModelBenchOptions extends Rounds {
	readonly configurations: readonly Configuration[];
	/** Path of the Node that runs the library. @default the one that is running */
	readonly node?: string | undefined;
}

/** Every configuration has a process of its own; they take turns, round by round. */
export async function benchModels({
	configurations,
	node,
	...rounds
}: ModelBenchOptions): Promise<ModelBench> {
	const machine = thisMachine();
	const loadBefore = load();
	const threads = Math.max(...configurations.map((c) => c.threads));
	const before = await measureReadBandwidth(threads);
	const contenders: Contender[] = [];
	const results = await (async () => {
		try {
			for (const configuration of configurations)
				contenders.push(await startNibble(configuration, node));
			return await takeTurns(contenders, rounds);
		} finally {
			await Promise.all(contenders.map((contender) => contender.stop()));
		}
	})();
	const after = await measureReadBandwidth(threads);
	const readBytesPerSecond = before.map((b, i) => Math.max(b, after[i]!));
	const stepBytes: number[] = [];
	for (const { shape, mix, options } of configurations)
		stepBytes.push(
			(await modelFacts(await modelFile(shape, mix), options)).stepBytes,
		);
	return {
		machine,
		loadBefore,
		loadAfter: load(),
		readBytesPerSecond,
		...rounds,
		results: configurations.map((configuration, i) => {
			const { loaded } = contenders[i]!;
			const rounds = results[i]!;
			const decode = speedOf(rounds.map((r) => r.decode));
			const decodeBytesPerSecond = decode.best * stepBytes[i]!;
			return {
				...configuration,
				kernels: buildOf(loaded),
				prefill: speedOf(rounds.map((r) => r.prefill)),
				decode,
				decodeBytesPerSecond,
				ofRoofline:
					decodeBytesPerSecond / readBytesPerSecond[configuration.threads - 1]!,
				peakMemoryBytes: Math.max(...rounds.map((r) => r.peakMemoryBytes)),
				loadMs: loaded.loadMs,
			};
		}),
	};
}

/** Build of the kernels that this library says it runs. */
export const buildOf = ({ about }: Loaded): string =>
	/(\w+) kernels/.exec(about)?.[1] ?? "";

/** This library in a process of its own, with the model in memory. */
export async function startNibble(
	{ shape, mix, threads, options }: Configuration,
	node: string | undefined,
): Promise<Contender> {
	return startContender(
		"scripts/run.mjs",
		[
			"bench/nibble.contender.ts",
			await modelFile(shape, mix),
			String(threads),
			JSON.stringify(options),
		],
		node === undefined ? {} : { node },
	);
}

export function printModels(bench: ModelBench): string {
	const { machine, readBytesPerSecond } = bench;
	const GB = 1e9;
	const bandwidth = readBytesPerSecond
		.map((b, i) => `${digits(b / GB)} GB/s with ${i + 1}`)
		.join(", ");
	return [
		`${machine.processor}, ${machine.cores} cores, ${machine.system}, ${machine.date}`,
		`load average ${bench.loadBefore.toFixed(1)} before, ${bench.loadAfter.toFixed(1)} after; threads read ${bandwidth}`,
		`prefill of ${bench.promptTokens} tokens, then ${bench.newTokens} tokens one by one; tokens/s: best of ${bench.rounds}, (median), per second on a core`,
		"",
		printTable([
			[
				"model",
				"weights",
				"options",
				"threads",
				"prefill",
				"(median)",
				"per CPU-s",
				"decode",
				"(median)",
				"per CPU-s",
				"GB/s",
				"% of reading",
				"peak MB",
				"load ms",
			],
			...bench.results.map((r) => [
				r.shape,
				r.mix,
				Object.values({ ...r.options, kernels: r.kernels }).join(" "),
				String(r.threads),
				...[r.prefill, r.decode].flatMap((speed) => [
					digits(speed.best),
					`(${digits(speed.median)})`,
					digits(speed.perCpuSecond),
				]),
				digits(r.decodeBytesPerSecond / GB),
				(100 * r.ofRoofline).toFixed(0),
				(r.peakMemoryBytes / 1e6).toFixed(0),
				r.loadMs.toFixed(0),
			]),
		]),
	].join("\n");
}

/** What is measured where nothing is said. */
const DEFAULTS = {
	shapes: "SmolLM2-135M",
	mixes: "Q4_0,Q8_0",
	threads: "1,2",
	"prompt-tokens": "512",
	"new-tokens": "64",
	rounds: "5",
};

/**
 * `--shapes A,B --mixes A,B --threads 1,2`: every combination, and of each one variant per `--options JSON`, which may be
 * given several times: what to load the model with. `--mixes` takes the names of other formats, too.
 */
export function readOptions(
	args: readonly string[],
	defaults: Partial<typeof DEFAULTS> = {},
): ModelBenchOptions {
	const byDefault = { ...DEFAULTS, ...defaults };
	const text = (name: keyof typeof DEFAULTS) =>
		({ type: "string", default: byDefault[name] }) as const;
	const { values } = parseArgs({
		args: [...args],
		options: {
			shapes: text("shapes"),
			mixes: text("mixes"),
			threads: text("threads"),
			options: { type: "string", multiple: true, default: ["{}"] },
			"prompt-tokens": text("prompt-tokens"),
			"new-tokens": text("new-tokens"),
			rounds: text("rounds"),
			node: { type: "string" },
			json: { type: "boolean" },
		},
	});
	const configurations: Configuration[] = [];
	const shapeNames = Object.keys(shapes) as ShapeName[];
	for (const shape of chosen(values.shapes, shapeNames))
		for (const mix of chosen(values.mixes, formatNames))
			for (const threads of values.threads.split(",").map(Number))
				for (const text of values.options)
					configurations.push({
						shape,
						mix,
						threads,
						options: JSON.parse(text) as Configuration["options"],
					});
	return {
		configurations,
		promptTokens: Number(values["prompt-tokens"]),
		newTokens: Number(values["new-tokens"]),
		rounds: Number(values.rounds),
		node: values.node,
	};
}

/** The names in a list, "A,B". Throws where one is unknown. */
function chosen<N extends string>(list: string, known: readonly N[]): N[] {
	return list.split(",").map((name) => {
		const found = known.find((n) => n === name);
		if (found === undefined)
			throw new Error(`"${name}" is none of ${known.join(", ")}`);
		return found;
	});
}
