/** How fast models come into memory from files that the system has in its cache, and what they take meanwhile. */

import { createReadStream, statSync } from "node:fs";
import type { Loaded } from "./contender.ts";
import { load, type Machine, thisMachine } from "./machine.ts";
import {
	type Configuration,
	type ModelBenchOptions,
	startNibble,
} from "./model.bench.ts";
import { modelFile, weightsFile } from "./model-file.ts";
import { type Speed, speedOf } from "./statistics.ts";
import { digits, printTable } from "./table.ts";

export interface LoadResult extends Configuration {
	readonly fileBytes: number;
	readonly weightBytes: number;
	/** Bytes of the file per second. */
	readonly bytesPerSecond: Speed;
	/** Largest resident memory of the process once the model is loaded. */
	readonly peakMemoryBytes: number;
}

export interface LoadBench {
	readonly machine: Machine;
	readonly loadBefore: number;
	readonly loadAfter: number;
	readonly rounds: number;
	readonly results: readonly LoadResult[];
}

/** Every load has a process of its own, so that its memory is fresh; configurations take turns, round by round. */
export async function benchLoads({
	configurations,
	rounds,
	node,
}: ModelBenchOptions): Promise<LoadBench> {
	const loadBefore = load();
	const files: string[] = [];
	for (const { shape, mix } of configurations)
		files.push(weightsFile(await modelFile(shape, mix)));
	for (const file of new Set(files)) await readThrough(file);
	const loads = configurations.map((): Loaded[] => []);
	for (let round = 0; round < rounds; round++)
		for (const [i, configuration] of configurations.entries()) {
			const contender = await startNibble(configuration, node);
			await contender.stop();
			loads[i]!.push(contender.loaded);
		}
	return {
		machine: thisMachine(),
		loadBefore,
		loadAfter: load(),
		rounds,
		results: configurations.map((configuration, i) => {
			const fileBytes = statSync(files[i]!).size;
			return {
				...configuration,
				fileBytes,
				weightBytes: loads[i]![0]!.weightBytes,
				bytesPerSecond: loadSpeed(loads[i]!, fileBytes),
				peakMemoryBytes: Math.max(...loads[i]!.map((l) => l.peakMemoryBytes)),
			};
		}),
	};
}

/** Bytes of the file per second. */
export const loadSpeed = (loads: readonly Loaded[], fileBytes: number): Speed =>
	speedOf(
		loads.map(({ loadMs: ms, loadCpuMs }) => ({
			tokens: fileBytes,
			ms,
			cpuMs: loadCpuMs!,
		})),
	);

/** Leaves a file in the system's cache, where there is room. */
export async function readThrough(path: string): Promise<void> {
	for await (const _ of createReadStream(path, { highWaterMark: 2 ** 20 }));
}

export function printLoads(bench: LoadBench): string {
	const { machine, rounds } = bench;
	const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
	return [
		`${machine.processor}, ${machine.cores} cores, ${machine.system}, ${machine.date}`,
		`load average ${bench.loadBefore.toFixed(1)} before, ${bench.loadAfter.toFixed(1)} after`,
		`loading from cached files; GB/s of the file: best of ${rounds}, (median), per second on a core`,
		"",
		printTable([
			[
				"model",
				"weights",
				"threads",
				"load GB/s",
				"(median)",
				"per CPU-s",
				"best ms",
				"weights MB",
				"peak MB",
				"besides",
			],
			...bench.results.map((r) => {
				const { best, median, perCpuSecond } = r.bytesPerSecond;
				return [
					r.shape,
					r.mix,
					String(r.threads),
					digits(best / 1e9),
					`(${digits(median / 1e9)})`,
					digits(perCpuSecond / 1e9),
					((1000 * r.fileBytes) / best).toFixed(0),
					megabytes(r.weightBytes),
					megabytes(r.peakMemoryBytes),
					megabytes(r.peakMemoryBytes - r.weightBytes),
				];
			}),
		]),
	].join("\n");
}
