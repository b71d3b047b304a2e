import { parameterNames } from "./kernels.ts";
import type { Call, Program, Step } from "./program.ts";
import { type BoundProgram, callCount, run, type Sharing } from "./runner.ts";

/** Where the time of one step went, seen from one part: what it computed, and how long it waited for the others. */
export interface StepProfile extends Step {
	/** Parts that shared the step. */
	readonly parts: number;
	/** From the end of the step before, whichever program that was, without what it took to tell of it. Undefined for the first step. */
	readonly betweenMs: number | undefined;
	/** The whole step as the host sees it: tables, waking the parts, the program, copying logits. */
	readonly stepMs: number;
	/** The program on part 0. What instructions do not account for is dispatch. */
	readonly programMs: number;
	readonly instructions: readonly InstructionProfile[];
}

export interface InstructionProfile {
	readonly calls: readonly {
		/** Name of the kernel. */
		readonly kernel: string;
		/** Rows and columns of the weight matrix, "n×k", where the kernel multiplies by one. */
		readonly size: string | undefined;
		readonly ms: number;
	}[];
	/** Until the other parts had done their share, too. */
	readonly waitMs: number;
}

/** Milliseconds of the last step: of the program, then of each call, then of the wait after each instruction. */
export type Timings = Float64Array;

/** Timings for the longest of these programs, in shared memory where parts are threads. */
export function createTimings(
	programs: readonly Program[],
	shared: boolean,
): Timings {
	const length = Math.max(
		...programs.map((p) => 1 + callCount(p) + p.instructions.length),
	);
	return new Float64Array(
		shared ? new SharedArrayBuffer(8 * length) : new ArrayBuffer(8 * length),
	);
}

/** `run` that writes down how long everything takes: two clock readings per range of a call, and two per wait. */
export function timedRun(timings: Timings): typeof run {
	const wrapped = new WeakMap<BoundProgram, BoundProgram>();
	return (program, parts, sharing) => {
		const known = wrapped.get(program) ?? timeCalls(program, timings);
		wrapped.set(program, known);
		timings.fill(0);
		const start = performance.now();
		run(known, parts, sharing && timeWaits(sharing, timings, known));
		timings[0] = performance.now() - start;
	};
}

function timeCalls(program: BoundProgram, timings: Timings): BoundProgram {
	let index = 1;
	return program.map(({ calls, total }) => ({
		total,
		calls: calls.map((call) => {
			const at = index++;
			return {
				...call,
				run(lo: number, hi: number) {
					const start = performance.now();
					call.run(lo, hi);
					timings[at]! += performance.now() - start;
				},
			};
		}),
	}));
}

function timeWaits(
	sharing: Sharing,
	timings: Timings,
	program: BoundProgram,
): Sharing {
	const first = program.reduce((n, { calls }) => n + calls.length, 1);
	return {
		...sharing,
		wait(instruction, total) {
			const start = performance.now();
			sharing.wait(instruction, total);
			timings[first + instruction] = performance.now() - start;
		},
	};
}

/** Reads the timings of a step of `program` that has just ended. */
export function readProfile(
	program: Program,
	timings: Timings,
	step: Step & Pick<StepProfile, "parts" | "stepMs" | "betweenMs">,
): StepProfile {
	const firstWait = 1 + callCount(program);
	let index = 1;
	return {
		...step,
		programMs: timings[0]!,
		instructions: program.instructions.map(({ calls }, i) => ({
			calls: calls.map((call) => ({
				kernel: call.kernel,
				size: sizeOf(call),
				ms: timings[index++]!,
			})),
			waitMs: timings[firstWait + i]!,
		})),
	};
}

function sizeOf({ kernel, args }: Call): string | undefined {
	if (kernel === "copy") return undefined;
	const names = parameterNames(kernel);
	const [n, k] = ["n", "k"].map((name) => args[names.indexOf(name)]);
	return n === undefined || k === undefined ? undefined : `${n}×${k}`;
}
