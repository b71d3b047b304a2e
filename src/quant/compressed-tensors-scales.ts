// The scales of a compressed-tensors matrix [N, K], by strategy:
//
//   tensor [1]   channel [N, 1]   group [N, K/g]   block [⌈N/h⌉, ⌈K/w⌉], one per tile of h × w
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import type { WeightScheme } from "./compressed-tensors-config.ts";
import { floats, type Precision } from "./floats.ts";
import { expectTensor, SCALE_TYPES, scalePlane } from "./planes.ts";
import type { Plane } from "./scheme.ts";

/** Rows of a tile in memory. */
const TILE_ROWS = 16;

export interface ScaleGrid {
	/** Columns per scale. */
	readonly block: number;
	/** Scales per row. */
	readonly groups: number;
	/** The group of each column, where the last one is shorter. */
	readonly groupOf?: Int32Array;
	/** Whether tiles of 16 rows share their scales. */
	readonly isShared: boolean;
	readonly precision: Precision;
	/** [rows, groups], repeated where rows share scales. */
	readonly plane: Plane;
	/** Shapes that the tensor of scales, or of zero points, may have. */
	readonly shapes: readonly (readonly number[])[];
}

export function scaleGrid(
	scale: StoredTensor,
	rows: number,
	cols: number,
	{ strategy, groupSize, blockShape }: WeightScheme,
): ScaleGrid {
	let block = cols;
	let rowsPerScale = 1;
	let shapes: readonly (readonly number[])[];
	switch (strategy) {
		case "tensor":
			rowsPerScale = rows;
			shapes = [[1], [1, 1], []];
			break;
		case "channel":
			shapes = [[rows, 1], [rows]];
			break;
		case "group":
			block = groupSize;
			shapes = [[rows, cols / block]];
			break;
		case "block":
			[rowsPerScale, block] = blockShape;
			shapes = [[Math.ceil(rows / rowsPerScale), Math.ceil(cols / block)]];
			break;
	}
	if (strategy === "group" && cols % block !== 0) {
		throw new CheckpointError(
			`${scale.file}: ${scale.name} has a scale per ${block} columns, which do not divide ${cols}`,
		);
	}
	expectTensor(scale, SCALE_TYPES, ...shapes);
	const groups = Math.ceil(cols / block);
	return {
		block,
		groups,
		isShared: rowsPerScale === rows || rowsPerScale % TILE_ROWS === 0,
		precision: scale.type as Precision,
		plane: repeated(scale, rows, rowsPerScale, groups),
		shapes,
		...(cols % block !== 0 && {
			groupOf: Int32Array.from({ length: cols }, (_, c) =>
				Math.floor(c / block),
			),
		}),
	};
}

function repeated(
	scale: StoredTensor,
	rows: number,
	rowsPerScale: number,
	groups: number,
): Plane {
	const plane = scalePlane("scales", scale, Math.ceil(rows / rowsPerScale));
	if (rowsPerScale === 1) return plane;
	const rowBytes = groups * floats[scale.type]!.bytes;
	return {
		...plane,
		rowBytes,
		async read(lo, hi, into = new Uint8Array((hi - lo) * rowBytes)) {
			const first = Math.floor(lo / rowsPerScale);
			const own = await plane.read(first, Math.ceil(hi / rowsPerScale));
			for (let row = lo; row < hi; row++) {
				const at = (Math.floor(row / rowsPerScale) - first) * rowBytes;
				into.set(own.subarray(at, at + rowBytes), (row - lo) * rowBytes);
			}
			return into.subarray(0, (hi - lo) * rowBytes);
		},
	};
}
