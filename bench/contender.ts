/** A program under measurement: it holds a model in a process of its own, and runs rounds when it is asked to. */

import { type ChildProcess, fork } from "node:child_process";

/** What a contender sends once its model is in memory. */
export interface Loaded {
	readonly loadMs: number;
	/** Time of all of its threads on a core while it loaded, where it says. */
	readonly loadCpuMs?: number;
	/** Largest resident memory until then. */
	readonly peakMemoryBytes: number;
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
	/** Resolves when its process has ended. */
	stop(): Promise<void>;
}

/** Starts the program `file`, which sends `Loaded` and then a `Round` for each `Task`. Rejects where it ends instead. */
export async function startContender(
	file: string,
	args: readonly string[],
	{ node = process.execPath, cwd = process.cwd() } = {},
): Promise<Contender> {
	const child = fork(file, args, { execPath: node, cwd });
	const ended = new Promise<void>((resolve) =>
		child.once("exit", () => resolve()),
	);
	const loaded = (await answer(child)) as Loaded;
	return {
		loaded,
		run(task) {
			child.send(task);
			return answer(child) as Promise<Round>;
		},
		stop() {
			child.kill();
			return ended;
		},
	};
}

export interface Rounds {
	readonly promptTokens: number;
	readonly newTokens: number;
	readonly rounds: number;
}

/** Not counted: engines still compile the fast versions of what they run. */
const WARM_UP = { promptTokens: 64, newTokens: 16, round: 0 };

/** All contenders do the first round, then all the second: what disturbs the machine disturbs all of them. */
export async function takeTurns(
	contenders: readonly Contender[],
	{ rounds, ...task }: Rounds,
): Promise<Round[][]> {
	for (const contender of contenders) await contender.run(WARM_UP);
	const results: Round[][] = contenders.map(() => []);
	for (let round = 1; round <= rounds; round++)
		for (const [i, contender] of contenders.entries())
			results[i]!.push(await contender.run({ ...task, round }));
	return results;
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

/** A model in memory, ready to be measured. */
export interface Subject {
	readonly loaded: Omit<Loaded, "peakMemoryBytes">;
	readonly vocabularySize: number;
	prefill(ids: readonly number[]): Promise<void>;
	/** `count` steps of one row after the prompt that `prefill` has seen last. */
	decode(ids: readonly number[], count: number): Promise<void>;
	/** Milliseconds that all threads were on a core so far. @default those of this process */
	cpuMs?(): number;
	/** @default that of this process */
	peakMemoryBytes?(): number;
}

function ownCpuMs(): number {
	const { user, system } = process.cpuUsage();
	return (user + system) / 1000;
}

/** The contender's side: measures whatever it is asked for. */
export function serveRounds({
	loaded,
	vocabularySize,
	prefill,
	decode,
	cpuMs = ownCpuMs,
	peakMemoryBytes = () => process.resourceUsage().maxRSS * 1024,
}: Subject): void {
	const measure = async (
		tokens: number,
		run: () => Promise<void>,
	): Promise<Phase> => {
		const cpu = cpuMs();
		const start = performance.now();
		await run();
		return { tokens, ms: performance.now() - start, cpuMs: cpuMs() - cpu };
	};
	process.on("message", async ({ promptTokens, newTokens, round }: Task) => {
		const ids = promptIds(round, promptTokens, vocabularySize);
		const answer: Round = {
			prefill: await measure(promptTokens, () => prefill(ids)),
			decode: await measure(newTokens, () => decode(ids, newTokens)),
			peakMemoryBytes: peakMemoryBytes(),
		};
		process.send!(answer);
	});
	process.once("disconnect", () => process.exit());
	const answer: Loaded = { ...loaded, peakMemoryBytes: peakMemoryBytes() };
	process.send!(answer);
}

/** The same ids for every program, spread over the vocabulary. Any two rounds begin with different ones. */
function promptIds(round: number, count: number, vocabularySize: number) {
	return Array.from(
		{ length: count },
		(_, i) => (round + 101 + i * 7919) % vocabularySize,
	);
}
