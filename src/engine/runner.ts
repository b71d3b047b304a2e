import type { Kernels } from "./kernels.ts";
import { type Call, type Program, type Step, unitsOf } from "./program.ts";

/** A memory and the kernels over it. A WebAssembly memory ends at 4 GiB, so large models have several. */
export interface Bank {
	readonly memory: WebAssembly.Memory;
	readonly kernels: Kernels;
}

/** A call with its arguments filled in: `run(lo, hi)` does units [lo, hi). */
interface BoundCall {
	readonly run: (lo: number, hi: number) => void;
	readonly units: number;
	readonly grain: number;
}

/** A program bound to one part and one kind of step: no lookups and no allocation are left for the run itself. */
export type BoundProgram = readonly (readonly BoundCall[])[];

export function bind(
	program: Program,
	banks: readonly Bank[],
	part: number,
	step: Step,
): BoundProgram {
	const scratch = program.scratch.map((at) => at + part * program.scratchBytes);
	return program.instructions.map(({ calls }) =>
		calls.map((call) => ({
			run: bindCall(call, banks, { ...step, scratch: scratch[call.bank]! }),
			units: unitsOf(call.units, step),
			grain: call.grain,
		})),
	);
}

/** Bound programs kept: decode repeats one kind of step, prefill another. */
const REMEMBERED = 8;

/** Binds on first use and remembers the last few kinds of step. */
export function rememberBound(
	bindTo: (step: Step) => BoundProgram,
): (step: Step) => BoundProgram {
	const known = new Map<string, BoundProgram>();
	return (step) => {
		const key = `${step.rows} ${step.outputs}`;
		const hit = known.get(key);
		if (hit !== undefined) return hit;
		if (known.size >= REMEMBERED)
			known.delete(known.keys().next().value as string);
		const bound = bindTo({ rows: step.rows, outputs: step.outputs });
		known.set(key, bound);
		return bound;
	};
}

function bindCall(
	call: Call,
	banks: readonly Bank[],
	registers: Readonly<Record<"rows" | "outputs" | "scratch", number>>,
): (lo: number, hi: number) => void {
	const args = call.args.map((a) => (typeof a === "number" ? a : registers[a]));
	const bank = banks[call.bank]!;
	if (call.kernel !== "copy") {
		const kernel = bank.kernels[call.kernel];
		if (kernel === undefined) throw new Error(`no kernel ${call.kernel}`);
		return kernel.bind(null, ...args);
	}
	const [to, fromBank, from, rowBytes] = args as [
		number,
		number,
		number,
		number,
	];
	const source = banks[fromBank]!.memory;
	return (lo, hi) => {
		const rows = new Uint8Array(
			source.buffer,
			from + lo * rowBytes,
			(hi - lo) * rowBytes,
		);
		new Uint8Array(bank.memory.buffer, to + lo * rowBytes).set(rows);
	};
}

/**
 * How parts share the work. `take` hands out the next range of a call (its start, or -1 when nothing is left) and
 * `barrier` returns once all parts have reached it. What a range computes never depends on who computes it.
 */
export interface Sharing {
	take(call: number, size: number, units: number): number;
	barrier(): void;
}

/** Ranges per part and call: enough that a part which loses its core for a while does not hold up the others. */
const RANGES_PER_PART = 8;

/** Runs a bound program as one of `parts`. The same function serves a single thread (without sharing) and every worker. */
export function run(
	program: BoundProgram,
	parts: number,
	sharing: Sharing | undefined,
): void {
	let index = 0;
	for (const calls of program) {
		for (const { run, units, grain } of calls) {
			if (sharing === undefined) {
				if (units > 0) run(0, units);
				continue;
			}
			const size =
				Math.ceil(units / (parts * RANGES_PER_PART * grain)) * grain || grain;
			for (;;) {
				const lo = sharing.take(index, size, units);
				if (lo < 0) break;
				run(lo, Math.min(lo + size, units));
			}
			index++;
		}
		sharing?.barrier();
	}
}

/** Number of calls, and so of range counters, in a program. */
export function callCount(program: Program): number {
	return program.instructions.reduce((n, i) => n + i.calls.length, 0);
}
