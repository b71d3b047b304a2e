/** A program under measurement: it holds a model in a process of its own, and runs rounds when it is asked to. */

import { type ChildProcess, fork } from "node:child_process";

/** What a contender sends once its model is in memory. */
export interface Loaded {
	readonly loadMs: number;
	/** Bytes of weights that a step reads. */
	readonly weightBytes: number;
	/** What ran, for people: version, build of the kernels. */
	readonly about: string;
}

/** What a contender is asked for: a prompt that it has not seen, then tokens after it, one per step. */
export interface Task {
	readonly promptTokens: number;
	readonly newTokens: number;
	/** Different for every round, so that no prompt begins like one before. */
	readonly round: number;
}

export interface Phase {
	readonly tokens: number;
	readonly ms: number;
	/** Time of all of its threads on a core. */
	readonly cpuMs: number;
}

/** What a contender answers. */
export interface Round {
	readonly prefill: Phase;
	readonly decode: Phase;
	/** Largest resident memory so far. */
	readonly peakMemoryBytes: number;
}

export interface Contender {
	readonly loaded: Loaded;
	run(task: Task): Promise<Round>;
	stop(): void;
}

/** Starts the program `file`, which sends `Loaded` and then a `Round` for each `Task`. Rejects where it ends instead. */
export async function startContender(
	file: string,
	args: readonly string[],
	{ node = process.execPath, cwd = process.cwd() } = {},
): Promise<Contender> {
	const child = fork(file, args, { execPath: node, cwd });
	const loaded = (await answer(child)) as Loaded;
	return {
		loaded,
		run(task) {
			child.send(task);
			return answer(child) as Promise<Round>;
		},
		stop: () => void child.kill(),
	};
}

function answer(child: ChildProcess): Promise<unknown> {
	return new Promise((resolve, reject) => {
		const onExit = (code: number | null) =>
			reject(
				new Error(`${child.spawnargs.join(" ")} ended with exit code ${code}`),
			);
		child.once("exit", onExit);
		child.once("message", (message) => {
			child.off("exit", onExit);
			resolve(message);
		});
	});
}

/** The contender's side: loads, then measures whatever it is asked for. */
export async function serveRounds(
	load: () => Promise<{
		loaded: Loaded;
		prefill(ids: readonly number[]): Promise<void>;
		/** `count` steps of one row after the prompt that `prefill` has seen last. */
		decode(ids: readonly number[], count: number): Promise<void>;
		vocabularySize: number;
	}>,
): Promise<void> {
	const { loaded, prefill, decode, vocabularySize } = await load();
	const measure = async (
		tokens: number,
		run: () => Promise<void>,
	): Promise<Phase> => {
		const cpu = process.cpuUsage();
		const start = performance.now();
		await run();
		const ms = performance.now() - start;
		const { user, system } = process.cpuUsage(cpu);
		return { tokens, ms, cpuMs: (user + system) / 1000 };
	};
	process.on("message", async ({ promptTokens, newTokens, round }: Task) => {
		const ids = promptIds(round, promptTokens, vocabularySize);
		const answer: Round = {
			prefill: await measure(promptTokens, () => prefill(ids)),
			decode: await measure(newTokens, () => decode(ids, newTokens)),
			peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
		};
		process.send!(answer);
	});
	process.send!(loaded);
}

/** The same ids for every program, spread over the vocabulary. */
function promptIds(round: number, count: number, vocabularySize: number) {
	return Array.from(
		{ length: count },
		(_, i) => (round + 101 + i * 7919) % vocabularySize,
	);
}
