import { type Kernels, parameterNames } from "./kernels.ts";
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
	/** Whether every part does all units. */
	readonly own: boolean;
	/** Units of the smallest range that is worth taking. */
	readonly least: number;
}

/** A program bound to one part and one kind of step: no lookups and no allocation are left for the run itself. */
export type BoundProgram = readonly {
	readonly calls: readonly BoundCall[];
	/** Units that parts share, of all calls together. */
	readonly total: number;
}[];

export function bind(
	program: Program,
	banks: readonly Bank[],
	part: number,
	step: Step,
): BoundProgram {
	const scratch = program.scratch.map((at) => at + part * program.scratchBytes);
	return program.instructions.map((instruction) => {
		const calls = instruction.calls.map((call) => ({
			run: bindCall(call, banks, { ...step, scratch: scratch[call.bank]! }),
			units: unitsOf(call.units, step),
			grain: call.grain,
			own: call.own ?? false,
			least: leastUnits(call, step),
		}));
		const shared = calls.filter((call) => !call.own);
		return { calls, total: shared.reduce((sum, call) => sum + call.units, 0) };
	});
}

/**
 * Multiply-adds that are worth a range: some 15 µs. Counters travel between cores with every range. Two threads decoded a
 * model of 135M parameters in Q4_0 at (medians of 4, interleaved) 183 tokens/s where ranges had 64 ki at
 * least and 212 with 512 ki; with fewer it was slower still, with more no faster. At 1.7B all are large enough.
 */
const RANGE_PRODUCTS = 524288;

function leastUnits({ kernel, args, grain }: Call, step: Step): number {
	if (kernel === "copy" || !kernel.startsWith("gemm_")) return grain;
	const k = args[parameterNames(kernel).indexOf("k")] as number;
	return Math.ceil(RANGE_PRODUCTS / (k * step.rows * grain)) * grain;
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
	const args = call.args.map((a) => {
		if (typeof a === "number") return a;
		return typeof a === "string" ? registers[a] : registers.scratch + a.own;
	});
	const bank = banks[call.bank]!;
	if (call.kernel !== "copy") {
		const kernel = bank.kernels[call.kernel];
		if (kernel === undefined) throw new Error(`no kernel ${call.kernel}`);
		const { strides } = call;
		if (strides === undefined) return kernel.bind(null, ...args);
		return (lo, hi) =>
			kernel(...args.map((a, i) => a + lo * (strides[i] ?? 0)), lo, hi);
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
 * How parts share the work. A part waits for work, not for other parts: an instruction is over when all of its units are
 * done, so a part that lost its core while it had nothing to do holds up nobody, and catches up when it is back.
 * What a range computes never depends on who computes it.
 */
export interface Sharing {
	/** The start of the next range of a call, or -1 when nothing is left. */
	take(call: number, size: number, units: number): number;
	/** Says that `units` units of an instruction are done, of `total`. */
	finish(instruction: number, units: number, total: number): void;
	/** Returns once all `total` units of an instruction are done. */
	wait(instruction: number, total: number): void;
}

/** Ranges per part and call, where they are large enough: enough that a part which loses its core for a while does not hold up the others. */
const RANGES_PER_PART = 8;

/** Runs a bound program as one of `parts`. The same function serves a single thread (without sharing) and every worker. */
export function run(
	program: BoundProgram,
	parts: number,
	sharing: Sharing | undefined,
): void {
	let call = 0;
	for (const [instruction, { calls, total }] of program.entries()) {
		for (const { run, units, grain, own, least } of calls) {
			if (own || sharing === undefined) {
				if (units > 0) run(0, units);
				call++;
				continue;
			}
			const share = Math.ceil(units / (parts * grain)) * grain;
			const piece = Math.ceil(share / (RANGES_PER_PART * grain)) * grain;
			const size = Math.max(piece, Math.min(least, share)) || grain;
			for (;;) {
				const lo = sharing.take(call, size, units);
				if (lo < 0) break;
				const hi = Math.min(lo + size, units);
				run(lo, hi);
				sharing.finish(instruction, hi - lo, total);
			}
			call++;
		}
		sharing?.wait(instruction, total);
	}
}

/** Number of calls, and so of range counters, in a program. */
export function callCount(program: Program): number {
	return program.instructions.reduce((n, i) => n + i.calls.length, 0);
}
