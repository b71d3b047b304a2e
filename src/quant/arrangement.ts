// Columns as kernels see them: groups of 32, each of one block. Blocks of another size have gaps behind them, up to a multiple of
// 32, and columns that GPTQ put into groups by their index are brought together. The input of such a matrix is gathered or spread
// in the same way. Memory holds no gaps, but for floats of 8 bits.
import type { GroupIndex } from "./group-index.ts";
import type { Plane } from "./scheme.ts";

/** How kernels see the columns of a matrix, where that is not how they lie in it. */
export interface Arrangement {
	/** Columns that kernels see: those of the matrix, and gaps. */
	readonly width: number;
	/** Columns of the planes that share a scale. */
	readonly block: number;
	/**
	 * Column i is column `columns[i]` of the matrix, or a gap where that is −1. Absent where columns are in order, with a gap
	 * behind every block.
	 */
	readonly columns?: Int32Array;
}

/** What blocks in kernels are multiples of. */
const BLOCK_MULTIPLE = 32;

/** Columns of a block as kernels see it. */
export const wideOf = (block: number): number =>
	Math.ceil(block / BLOCK_MULTIPLE) * BLOCK_MULTIPLE;

/** Columns in blocks, or in the groups that an index says, that begin `step` columns apart; −1 between them, and where the last one is shorter. */
export function placed(
	cols: number,
	block: number,
	step: number,
	order?: GroupIndex,
): Int32Array {
	const columns = new Int32Array(step * Math.ceil(cols / block)).fill(-1);
	for (let i = 0; i < cols; i++) {
		const place = step * Math.floor(i / block) + (i % block);
		columns[place] = order ? order.columns[i]! : i;
	}
	return columns;
}

/**
 * A plane of a byte per column with its columns in the order of `columns`, `block` of which share a scale. Bytes without a
 * column are 0, or the zero point of their block, i8[hi − lo, groups] of rows [lo, hi): either makes a weight of zero.
 */
export function arranged(
	plane: Plane,
	columns: Int32Array,
	block: number,
	zeros?: (lo: number, hi: number) => Promise<Int8Array>,
): Plane {
	const cols = plane.rowBytes;
	const rowBytes = columns.length;
	const groups = rowBytes / block;
	return {
		...plane,
		rowBytes,
		async read(lo, hi, into = new Uint8Array((hi - lo) * rowBytes)) {
			const stored = await plane.read(lo, hi);
			const points = await zeros?.(lo, hi);
			for (let row = 0, to = 0; row < hi - lo; row++) {
				for (let i = 0; i < rowBytes; i++, to++) {
					const column = columns[i]!;
					into[to] =
						column >= 0
							? stored[row * cols + column]!
							: (points?.[row * groups + Math.floor(i / block)] ?? 0);
				}
			}
			return into.subarray(0, (hi - lo) * rowBytes);
		},
	};
}
