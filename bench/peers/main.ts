/**
 * Other programs and this library over the same files, side by side: node main.ts [--shapes A,B] [--mixes A,B]
 * [--threads 1,2] [--programs A,B] [--prompt-tokens N] [--new-tokens N] [--rounds N]. Writes bench/results/peers-*.{md,json}.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Contender, type Rounds, takeTurns } from "../contender.ts";
import { load, type Machine, thisMachine } from "../machine.ts";
import type { MixName } from "../mixes.ts";
import { modelFile } from "../model-file.ts";
import type { ShapeName } from "../shapes.ts";
import { type Speed, speedOf } from "../statistics.ts";
import { digits, printTable } from "../table.ts";
import { type ProgramName, programNames, startProgram } from "./programs.ts";

/** A mix of llama-quantize, or torchao's INT8-INT4, beside which others run Q4_0. */
type Mix = MixName | "8da4w";

interface Result {
	readonly shape: ShapeName;
	readonly mix: Mix;
	readonly threads: number;
	readonly program: ProgramName;
	readonly about: string;
	readonly loadMs: number;
	readonly peakMemoryBytes: number;
	readonly prefill: Speed;
	readonly decode: Speed;
}

interface Comparison extends Rounds {
	readonly machine: Machine;
	readonly loadBefore: number;
	readonly loadAfter: number;
	readonly results: readonly Result[];
}

const { values } = parseArgs({
	options: {
		shapes: { type: "string", default: "SmolLM2-135M" },
		mixes: { type: "string", default: "Q4_0,Q8_0" },
		threads: { type: "string", default: "1" },
		programs: { type: "string", default: "nibble,llama.cpp" },
		"prompt-tokens": { type: "string", default: "512" },
		"new-tokens": { type: "string", default: "64" },
		rounds: { type: "string", default: "5" },
	},
});
const programs = values.programs.split(",") as ProgramName[];
const unknown = programs.find((name) => !programNames.includes(name));
if (unknown !== undefined)
	throw new Error(`no program ${unknown}, there are ${programNames}`);

const rounds: Rounds = {
	promptTokens: Number(values["prompt-tokens"]),
	newTokens: Number(values["new-tokens"]),
	rounds: Number(values.rounds),
};
const machine = thisMachine();
const loadBefore = load();
const results: Result[] = [];
for (const shape of values.shapes.split(",") as ShapeName[])
	for (const mix of values.mixes.split(",") as Mix[])
		for (const threads of values.threads.split(",").map(Number))
			results.push(...(await compare(shape, mix, threads)));
const comparison: Comparison = {
	machine,
	...rounds,
	loadBefore,
	loadAfter: load(),
	results,
};
const folder = join(import.meta.dirname, "../results");
const name = `peers-${machine.date.replace(":", "")}`;
mkdirSync(folder, { recursive: true });
writeFileSync(
	join(folder, `${name}.json`),
	JSON.stringify(comparison, null, "\t"),
);
writeFileSync(join(folder, `${name}.md`), print(comparison));
console.log(print(comparison));

/** What only this library reads is measured against what others have of about the same size. */
function modelFor(program: ProgramName, shape: ShapeName, mix: Mix) {
	const isOurs = program.startsWith("nibble");
	return modelFile(shape, mix === "8da4w" && !isOurs ? "Q4_0" : mix);
}

/** All programs hold the model at once, each in a process of its own, and take turns. */
async function compare(
	shape: ShapeName,
	mix: Mix,
	threads: number,
): Promise<Result[]> {
	const contenders: Contender[] = [];
	const started: ProgramName[] = [];
	try {
		for (const program of programs)
			try {
				const model = await modelFor(program, shape, mix);
				contenders.push(await startProgram(program, model, threads));
				started.push(program);
			} catch (error) {
				console.error(`${program} is left out of ${shape} ${mix}: ${error}`);
			}
		const all = await takeTurns(contenders, rounds);
		return contenders.map(({ loaded }, i) => {
			const rounds = all[i]!;
			return {
				shape,
				mix,
				threads,
				program: started[i]!,
				about: loaded.about,
				loadMs: loaded.loadMs,
				peakMemoryBytes: Math.max(...rounds.map((r) => r.peakMemoryBytes)),
				prefill: speedOf(rounds.map((r) => r.prefill)),
				decode: speedOf(rounds.map((r) => r.decode)),
			};
		});
	} finally {
		await Promise.all(contenders.map((contender) => contender.stop()));
	}
}

function print(comparison: Comparison): string {
	const { machine, loadBefore, loadAfter, promptTokens, newTokens, results } =
		comparison;
	const [first] = programs as [ProgramName];
	const rate = (speed: Speed, base: Speed | undefined) => [
		digits(speed.best),
		`(${digits(speed.median)})`,
		digits(speed.perCpuSecond),
		base ? `${digits(base.best / speed.best)}×` : "",
		base ? `${digits(base.perCpuSecond / speed.perCpuSecond)}×` : "",
	];
	const columns = ["", "(median)", "per CPU-s", `${first} ÷`, "÷ by CPU-s"];
	const abouts = new Map(results.map((r) => [r.program, r.about]));
	return [
		`${machine.processor}, ${machine.cores} cores, ${machine.system}, ${machine.date}; load average ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after.`,
		`Random weights at true shapes, ${promptTokens} prompt tokens at once, then ${newTokens} tokens one by one; programs take turns, best of ${comparison.rounds}. Tokens per second of wall time, and per second that its threads were on a core.`,
		"",
		...[...abouts].map(([program, about]) => `- ${program}: ${about}`),
		"",
		printTable([
			[
				"model",
				"weights",
				"threads",
				"program",
				...columns.map((c) => (c === "" ? "prefill" : c)),
				...columns.map((c) => (c === "" ? "decode" : c)),
				"peak MB",
				"load ms",
			],
			...results.map((r) => {
				const base = results.find(
					(b) =>
						b.shape === r.shape &&
						b.mix === r.mix &&
						b.threads === r.threads &&
						b.program === first,
				);
				return [
					r.shape,
					r.mix,
					String(r.threads),
					r.program,
					...rate(r.prefill, base?.prefill),
					...rate(r.decode, base?.decode),
					(r.peakMemoryBytes / 1e6).toFixed(0),
					r.loadMs.toFixed(0),
				];
			}),
		]),
		"",
	].join("\n");
}
