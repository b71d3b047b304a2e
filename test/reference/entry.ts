import type { KernelName, NumericArgs } from "../../src/engine/kernels.ts";
import type { Operands } from "./operands.ts";

/** Typed views of a memory from an address in bytes to its end. */
export interface View {
	f32(address: number): Float32Array;
	i32(address: number): Int32Array;
	i8(address: number): Int8Array;
	u8(address: number): Uint8Array;
	u16(address: number): Uint16Array;
}

/** Largest accepted |found − expected|: `absolute + relative · |expected|`. */
export interface Tolerance {
	readonly absolute: number;
	readonly relative: number;
}

/** Integers, copies and single roundings: every bit equal. */
export const exact: Tolerance = { absolute: 0, relative: 0 };

/** What kernel K computes, said as plainly as possible, and the operands to try it on. */
export interface Entry<K extends KernelName> {
	/** Computes units [lo, hi) in plain loops, in float64 wherever the kernel's own rounding is not the point. */
	run(args: NumericArgs<K>, lo: number, hi: number, memory: View): void;
	/** Number of units of a call; `elements` is the length of its first output. */
	units(args: NumericArgs<K>, elements: number): number;
	/** Ranges start at multiples of this many units. */
	readonly grain: number;
	readonly tolerance: Tolerance;
	/** Builds the operands of one call; what it allocates as an output is what the kernel may change. */
	readonly cases: Readonly<
		Record<string, (operands: Operands) => NumericArgs<K>>
	>;
}
