// Columns in an order of their own, so that kernels need to know one kind of block only: consecutive columns, a multiple
// of 32 of them. Blocks of another size are filled up with weights of zero, and columns that GPTQ put into groups by
// their index are brought together. The input of such a matrix is gathered in the same order.
import type { GroupIndex } from "./group-index.ts";
import type { Plane } from "./scheme.ts";

/** How the columns of planes lie, where they do not lie as those of the matrix. */
export interface Arrangement {
	/** Column i of the planes is column `columns[i]` of the matrix, or a weight of zero where that is −1. */
	readonly columns: Int32Array;
	/** Columns of the planes that share a scale. */
	readonly block: number;
}

/** What blocks in kernels are multiples of. */
const BLOCK_MULTIPLE = 32;
/** Smaller blocks are left alone, and not read by any kernel: they would take more than twice their room. */
const LEAST_BLOCK = 16;

/**
 * The arrangement of `cols` columns in blocks of `block`, the last of which may be shorter; undefined where they can stay.
 * `ragged` says whether the last block may stay short.
 */
export function arrangementOf(
	cols: number,
	block: number,
	order: GroupIndex | undefined,
	ragged: boolean,
): Arrangement | undefined {
	const fits = block % BLOCK_MULTIPLE === 0 && (ragged || cols % block === 0);
	if (block < LEAST_BLOCK || (fits && !order)) return undefined;
	const wide = Math.ceil(block / BLOCK_MULTIPLE) * BLOCK_MULTIPLE;
	const columns = new Int32Array(wide * Math.ceil(cols / block)).fill(-1);
	for (let i = 0; i < cols; i++) {
		const place = wide * Math.floor(i / block) + (i % block);
		columns[place] = order ? order.columns[i]! : i;
	}
	return { columns, block: wide };
}

/**
 * A plane of a byte per column, arranged. Bytes without a column are 0, or the zero point of their block, i8[hi − lo, groups]
 * of rows [lo, hi): either makes a weight of zero.
 */
export function arranged(
	plane: Plane,
	{ columns, block }: Arrangement,
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
