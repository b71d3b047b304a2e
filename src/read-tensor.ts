import { OptionError } from "./errors.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import { findMatrix, matrixNames } from "./quant/scheme.ts";

/** Some rows of a weight, as the numbers that its stored bits stand for. */
export interface TensorPiece {
	readonly name: string;
	/** What its bits mean: "BF16", "Q4_K", "torchao int4 g32". */
	readonly scheme: string;
	/** Of the whole weight, outermost first. */
	readonly shape: readonly number[];
	/** Elements of the weight before these, in row-major order. */
	readonly offset: number;
	/** Exact, as far as float32 can hold them: 64-bit numbers and large integers are rounded. The caller's own. */
	readonly values: Float32Array;
}

/** Values of a piece, as far as whole rows allow. */
const PIECE_ELEMENTS = 1 << 20;

/**
 * Decodes a weight piece by piece, in order: at least one piece, empty where the weight is.
 * @throws OptionError where there is none of that name, UnsupportedError where this version cannot read it, CheckpointError where a scale is not finite
 */
export async function* readTensor(
	checkpoint: Checkpoint,
	name: string,
): AsyncGenerator<TensorPiece, void> {
	const matrix = await findMatrix(checkpoint, name);
	if (matrix === undefined) throw unknownTensor(checkpoint, name);
	const { scheme, shape, rows, cols } = matrix;
	const step = Math.max(1, Math.floor(PIECE_ELEMENTS / Math.max(cols, 1)));
	let lo = 0;
	do {
		const hi = Math.min(lo + step, rows);
		const values = await matrix.decode(lo, hi);
		yield { name, scheme, shape, offset: lo * cols, values };
		lo = hi;
	} while (lo < rows);
}

function unknownTensor(checkpoint: Checkpoint, name: string): OptionError {
	const names = matrixNames(checkpoint);
	const similar = names.filter((known) => known.includes(name)).slice(0, 3);
	return new OptionError(
		`${checkpoint.name}: has no tensor ${JSON.stringify(name)} among its ${names.length}, expected a name such as ${(similar.length > 0 ? similar : names.slice(0, 1)).join(", ")}`,
	);
}
