import type { KernelName } from "./kernels.ts";

/**
 * A number that is not known while a program is recorded, only when a part runs it:
 * `rows` and `outputs` belong to the step, `scratch` is the address of the running part's own memory in the call's bank.
 */
export type Register = "rows" | "outputs" | "scratch";

/** A number, one that the step or the part knows, or an address: that many bytes behind the start of the running part's scratch memory. */
export type Argument = number | Register | { readonly own: number };

/** How many units of work a call has: a constant, or ⌈register / per⌉ · times. */
export type Units =
	| number
	| {
			readonly register: "rows" | "outputs";
			readonly per: number;
			readonly times: number;
	  };

/** One kernel over one bank. `copy` is not a kernel: it brings rows over from another bank's memory. */
export interface Call {
	readonly kernel: KernelName | "copy";
	readonly bank: number;
	/** Arguments in the kernel's order without [lo, hi). For `copy`: to address, from bank, from address, bytes per row. */
	readonly args: readonly Argument[];
	readonly units: Units;
	/** Ranges start at multiples of this many units. */
	readonly grain: number;
	/**
	 * Bytes per unit by which each argument moves with the start of a range, for operands that hold the rows of the range
	 * alone, as those of packing kernels do. @default none moves
	 */
	readonly strides?: readonly number[];
	/** Whether every part does all units, into memory of its own, instead of sharing them. @default false */
	readonly own?: boolean;
}

/** Calls that do not depend on each other, and so need a single barrier after them. */
export interface Instruction {
	readonly calls: readonly Call[];
}

/** A recorded forward pass: plain data that can be posted to workers, printed, compared and replayed on reference kernels. */
export interface Program {
	readonly instructions: readonly Instruction[];
	/** Per bank, the address of part 0's scratch memory; part i's lies i · scratchBytes further. */
	readonly scratch: readonly number[];
	readonly scratchBytes: number;
}

export interface Step {
	/** Rows of the row table in use. */
	readonly rows: number;
	/** Rows of which logits are wanted. */
	readonly outputs: number;
}

export function unitsOf(units: Units, step: Step): number {
	if (typeof units === "number") return units;
	return Math.ceil(step[units.register] / units.per) * units.times;
}

/** One line per call, barriers as lines of their own: for people, tests and diffs. */
export function printProgram(program: Program): string {
	const number = (a: Argument) =>
		typeof a === "number"
			? String(a)
			: typeof a === "string"
				? `%${a}`
				: `%scratch + ${a.own}`;
	return program.instructions
		.map(({ calls }) =>
			calls
				.map((c) => {
					const units =
						typeof c.units === "number"
							? c.units
							: `⌈%${c.units.register}/${c.units.per}⌉·${c.units.times}`;
					return `${c.bank}: ${c.kernel}(${c.args.map(number).join(", ")}) × ${units}${c.own ? " by every part" : ""}`;
				})
				.join("\n"),
		)
		.join("\n--\n");
}
