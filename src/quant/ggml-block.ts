import type { ActivationForm } from "./scheme.ts";

/** A ggml type: rows are sequences of blocks, each of so many consecutive columns and so many bytes. */
export interface BlockType {
	readonly name: string;
	/** The value of a code. */
	readonly formula: string;
	/** Columns per block. */
	readonly cols: number;
	/** Bytes per block. */
	readonly bytes: number;
	/** Columns per scale; smaller than `cols` where a block is divided into groups. */
	readonly block: number;
	/** Byte offsets of the block's f16 scales; "e8m0" where it has one power of two at offset 0 instead. */
	readonly scales: readonly number[] | "e8m0";
	readonly activation: ActivationForm;
	readonly layout: string;
	/** Decodes the block at byte `at` to out[to, to + cols), rounding to f32 after every operation as ggml's reference does. */
	decode(view: DataView, at: number, out: Float32Array, to: number): void;
}
