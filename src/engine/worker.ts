import { instantiateKernels } from "./kernels.ts";
import { type Timings, timedRun } from "./profile.ts";
import type { Program } from "./program.ts";
import { type Bank, bind, rememberBound, run } from "./runner.ts";
import {
	Abandoned,
	abandon,
	CONTROL,
	LEAVE,
	shareThrough,
	waitForStep,
} from "./sharing.ts";

/** What the host posts to a part: programs to run until it asks the part to leave them, and maybe posts others. */
export interface ToPart {
	readonly part: number;
	readonly parts: number;
	readonly modules: readonly WebAssembly.Module[];
	readonly memories: readonly WebAssembly.Memory[];
	readonly programs: readonly Program[];
	/** Where part 0 writes down how long everything took; undefined where nobody wants to know. */
	readonly timings: Timings | undefined;
	readonly control: Int32Array;
	/** Instructions of the longest program. */
	readonly instructions: number;
}

/** What a part posts to the host. */
export type FromPart =
	| { readonly type: "ready" }
	| { readonly type: "done" }
	| { readonly type: "error"; readonly message: string };

/**
 * A worker's side of the pool: runs its part of every step that the host starts, until the host asks it to leave.
 * Only then does it return to its message queue; what it posts is delivered all the same.
 */
export function servePart(
	start: ToPart,
	post: (message: FromPart) => void,
): void {
	const { part, parts, control } = start;
	const banks: Bank[] = start.memories.map((memory) => ({
		memory,
		kernels: instantiateKernels(start.modules, memory),
	}));
	const sharing = shareThrough(control, start.instructions);
	const programs = start.programs.map((program) =>
		rememberBound((step) => bind(program, banks, part, step)),
	);
	const runStep = part === 0 && start.timings ? timedRun(start.timings) : run;
	let step = Atomics.load(control, CONTROL.step);
	post({ type: "ready" });
	for (;;) {
		step = waitForStep(control, step);
		if (step === LEAVE) return;
		try {
			const { program, rows, outputs } = CONTROL;
			const bound = programs[control[program]!]!({
				rows: control[rows]!,
				outputs: control[outputs]!,
			});
			runStep(bound, parts, sharing);
		} catch (error) {
			if (!(error instanceof Abandoned)) {
				post({ type: "error", message: String(error) });
				abandon(control);
			}
		}
		if (Atomics.add(control, CONTROL.finished, 1) === parts - 1)
			post({ type: "done" });
	}
}
