import type { KernelName } from "./kernels.ts";
import type { Format } from "./layouts.ts";
import type { Register, Units } from "./program.ts";

// What a recording is made of, before anything has an address.

/** Rows of the running step: the one dimension that is unknown while a program is recorded. */
export const T: unique symbol = Symbol("T");
/** Rows of the running step whose logits are wanted. */
export const O: unique symbol = Symbol("O");
export type Dim = number | typeof T | typeof O;

/** An activation: f32, row-major, last dimension contiguous. */
export interface Tensor {
	readonly shape: readonly Dim[];
	readonly buffer: Buffer;
}

/** Memory for the rows of one activation; the scheduler gives it an address. */
export interface Buffer {
	readonly bank: number;
	readonly rowBytes: number;
	readonly register: "rows" | "outputs";
}

/** A packed weight matrix [n, k], or vector [n], in one memory bank. The loader fills in where. */
export interface Weight {
	readonly name: string;
	/** Outermost first. */
	readonly shape: readonly number[];
	/** Its kernel family: a key of `layouts`. */
	readonly layout: string;
	/** Columns that share a scale, 0 where there is none. */
	readonly block: number;
	/** What else its kernels have to know of it. */
	readonly format?: Format | undefined;
	/** Where its kernels see columns in another order than that of its input, gaps included. */
	readonly columns?: Columns | undefined;
	/** Where they see them in order, but gaps behind blocks: every `block` columns of the input take the room of `wide`. */
	readonly gaps?: Gaps | undefined;
	/** How its input is quantized, where the checkpoint says it once for all rows. */
	readonly input?:
		| { readonly scale: number; readonly zero: number }
		| undefined;
	bank: number;
	address: number;
}

/** The columns of a packed matrix. */
export interface Columns {
	/** Column i is column values[i] of the input, or weights of zero where that is −1. Weights that share the array share the input. */
	readonly values: Int32Array;
	/** Bytes from the weight's address to the values, i32. */
	readonly offset: number;
}

/** Gaps of zeros behind blocks of columns. */
export interface Gaps {
	readonly block: number;
	readonly wide: number;
}

/** A linear layer. */
export interface Linear {
	/** [N, K] */
	readonly weight: Weight;
	/** [N] */
	readonly bias?: Weight | undefined;
}

/** Scale and shift of a layer norm, [D] each. */
export interface Norm {
	readonly weight: Weight;
	readonly bias: Weight;
}

/** Rotary frequencies, one object per distinct setting of a model. */
export interface Rope {
	/** Size of a head; d/2 frequencies. */
	readonly d: number;
	/** f32[d/2] radians per position for a sequence of `tokens`; only `dynamic` settings depend on it. */
	readonly frequencies: (tokens: number) => Float32Array;
	/** Multiplies cosines and sines. */
	readonly attentionFactor: number;
	/** Whether the frequencies change as the sequence grows. */
	readonly dynamic: boolean;
}

export interface AttentionOptions {
	/** Index of the key/value cache; layers that share no cache use distinct numbers. */
	readonly cache: number;
	/** Multiplies q·k. @default 1/√d */
	readonly scale?: number;
	/** Tokens a query may look back, itself included. @default all */
	readonly window?: number | undefined;
}

/** Keys and values of one layer: its place in the pages of its group. */
export interface Cache {
	readonly index: number;
	readonly bank: number;
	readonly kvHeads: number;
	readonly d: number;
	/** Layers with the same window share pages; 0 is no window. */
	readonly window: number;
}

/** Memory at a fixed place in every bank, filled by the host before each step. */
export type Table =
	| { readonly table: "token" | "position" | "sequence" | "last" | "output" }
	/** Which row of `softRows` stands in for a token's embedding, negative for none; and 0, 1, 2 … */
	| { readonly table: "soft" | "softRows" | "rowNumber" }
	| { readonly table: "pages"; readonly window: number }
	| { readonly table: "frequencies"; readonly rope: Rope };

/** Memory at an address that is known when the weights have theirs. */
export interface Place {
	readonly address: number;
}

export type Operand =
	| Buffer
	| Weight
	| Place
	| Cache
	| Table
	| Register
	| number;

/** What a call may pass for each kind of parameter, by the name of its type in assembly/types.ts. */
export interface Operands {
	F32: Buffer | Weight | Table;
	F32Or0: Buffer | Weight | 0;
	I32: Table | Place;
	QD8: Buffer;
	KV: Cache;
	Scratch: "scratch";
	i32: number | "rows" | "outputs";
	f32: number;
}

/** A kernel call with its operands by name, before they have addresses. */
export interface RecordedCall {
	kernel: KernelName | "copy";
	bank: number;
	args: Record<string, Operand>;
	/** Operands that the call writes; every other buffer or cache among its operands is read. */
	writes: readonly (Buffer | Cache)[];
	units: Units;
	grain: number;
}
