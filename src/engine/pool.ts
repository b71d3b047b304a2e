import { EngineError } from "../errors.ts";
import { instantiateKernels } from "./kernels.ts";
import { type Timings, timedRun } from "./profile.ts";
import type { Program, Step } from "./program.ts";
import {
	type Bank,
	type BoundProgram,
	bind,
	callCount,
	rememberBound,
	run,
} from "./runner.ts";
import { CONTROL, LEAVE } from "./sharing.ts";
import type { FromPart, ToPart } from "./worker.ts";

/** A thread that runs `servePart` on the first message it gets. Each runtime has its own way to make one. */
export interface Thread {
	post(message: ToPart): void;
	onMessage(listener: (message: FromPart) => void): void;
	/** Called once if the thread fails to start, throws outside of a message, or ends. */
	onFailure(listener: (reason: string) => void): void;
	/** Whether the process should stay alive for it. */
	keepAlive(yes: boolean): void;
	stop(): Promise<void>;
}

/** Runs steps of programs: alone on the calling thread, or as parts on worker threads. */
export interface Pool {
	/** Parts that share each step. */
	readonly parts: number;
	/** Why there are fewer parts than were asked for; undefined where there are not. */
	readonly limit?: string;
	/**
	 * Takes up programs in place of those before, with `timings` for part 0 to write down how long everything in a step
	 * takes. Not while a step runs. Rejects with EngineError, after which the pool is dead.
	 */
	prepare(programs: readonly Program[], timings?: Timings): Promise<void>;
	/** Runs one step of program `index` to its end. One step at a time. Rejects with EngineError, after which the pool is dead. */
	step(index: number, step: Step): Promise<void>;
	stop(): Promise<void>;
}

/** What every part runs programs on. */
export interface Machine {
	/** The kernels that the programs call, compiled for the kind of memory that `memories` are. */
	readonly modules: readonly WebAssembly.Module[];
	readonly memories: readonly WebAssembly.Memory[];
}

/** A pool of as many parts as asked for or, where threads do not start, of one: content security policies and permissions say no without notice. */
export async function createPool(
	machine: Machine,
	parts: number,
	spawn: (() => Thread) | undefined,
): Promise<Pool> {
	if (parts === 1 || spawn === undefined) return createSinglePool(machine);
	try {
		return await createThreadPool(machine, parts, spawn);
	} catch (error) {
		const limit = error instanceof Error ? error.message : String(error);
		return { ...createSinglePool(machine), limit };
	}
}

/** Part 0 of 1 on the calling thread: needs no shared memory, and blocks while a step runs. */
export function createSinglePool({ modules, memories }: Machine): Pool {
	let banks: Bank[] | undefined = memories.map((memory) => ({
		memory,
		kernels: instantiateKernels(modules, memory),
	}));
	let programs: ((step: Step) => BoundProgram)[] = [];
	let runStep = run;
	return {
		parts: 1,
		async prepare(next, timings) {
			runStep = timings ? timedRun(timings) : run;
			programs = next.map((program) =>
				rememberBound((step) => bind(program, banks ?? [], 0, step)),
			);
		},
		async step(index, step) {
			if (banks === undefined) throw new EngineError("the model was disposed");
			try {
				runStep(programs[index]!(step), 1, undefined);
			} catch (error) {
				throw new EngineError(`a kernel failed: ${String(error)}`, {
					cause: error,
				});
			}
		},
		async stop() {
			banks = undefined;
			programs = [];
		},
	};
}

/** Starts `parts` threads over shared memories and waits until all are ready. Rejects where one cannot be started. */
export async function createThreadPool(
	machine: Machine,
	parts: number,
	spawn: () => Thread,
): Promise<Pool> {
	let control: Int32Array = new Int32Array(0);
	let waiting:
		| { resolve: () => void; reject: (error: Error) => void }
		| undefined;
	let dead: EngineError | undefined;
	let ready = 0;
	const threads: Thread[] = [];

	const fail = (reason: string) => {
		dead ??= new EngineError(reason);
		waiting?.reject(dead);
		waiting = undefined;
	};
	const settle = () => {
		if (dead) return fail(dead.message);
		waiting?.resolve();
		waiting = undefined;
	};
	/** Has the threads do something, and waits until all of them have. */
	const untilSettled = async (begin: () => void) => {
		if (dead) throw dead;
		if (waiting) throw new EngineError("a step is already running");
		const settled = new Promise<void>((resolve, reject) => {
			waiting = { resolve, reject };
		});
		for (const thread of threads) thread.keepAlive(true);
		begin();
		try {
			await settled;
		} finally {
			for (const thread of threads) thread.keepAlive(false);
		}
	};
	const leave = () => {
		if (control.length === 0) return;
		Atomics.store(control, CONTROL.step, LEAVE);
		Atomics.notify(control, CONTROL.step);
	};
	const prepare: Pool["prepare"] = (programs, timings) =>
		untilSettled(() => {
			leave();
			const instructions = Math.max(
				0,
				...programs.map((program) => program.instructions.length),
			);
			const calls = Math.max(0, ...programs.map(callCount));
			control = new Int32Array(
				new SharedArrayBuffer(4 * (CONTROL.counters + instructions + calls)),
			);
			ready = 0;
			const work = { ...machine, programs, timings, control, instructions };
			for (const [part, thread] of threads.entries())
				thread.post({ ...work, part, parts });
		});
	const stop = async () => {
		fail("the model was disposed");
		leave();
		await Promise.all(threads.map((thread) => thread.stop()));
		threads.length = 0;
	};

	try {
		for (let part = 0; part < parts; part++) {
			const thread = spawn();
			threads.push(thread);
			thread.onFailure((reason) =>
				fail(`worker ${part} of ${parts}: ${reason}`),
			);
			thread.onMessage((message) => {
				if (message.type === "error")
					dead ??= new EngineError(
						`worker ${part} of ${parts}: ${message.message}`,
					);
				else if (message.type === "done" || ++ready === parts) settle();
			});
		}
		await prepare([]);
	} catch (error) {
		await stop();
		throw error;
	}

	return {
		parts,
		prepare,
		step: (index, { rows, outputs }) =>
			untilSettled(() => {
				control[CONTROL.program] = index;
				control[CONTROL.rows] = rows;
				control[CONTROL.outputs] = outputs;
				control[CONTROL.finished] = 0;
				control.fill(0, CONTROL.counters);
				Atomics.add(control, CONTROL.step, 1);
				Atomics.notify(control, CONTROL.step);
			}),
		stop,
	};
}
