import { isKernel, parameterNames } from "./engine/kernels.ts";
import {
	type Layout,
	type LayoutInfo,
	layouts,
	TILE_ROWS,
} from "./engine/layouts.ts";
import type { Call, Program } from "./engine/program.ts";
import { UnsupportedError } from "./errors.ts";
import type { PlannedWeight } from "./weights.ts";

/** Most stored bytes of a batch: enough to make little of what waking the parts costs. */
export const BATCH_BYTES = 8 * 1024 * 1024;
/** Planes begin at addresses that any kernel can load from. */
const PLANE_ALIGNMENT = 16;

/** Rows [lo, hi) of a weight on their way into memory: whole tiles, or all of a vector. */
export interface Piece {
	readonly of: PlannedWeight;
	readonly lo: number;
	readonly hi: number;
	/** Where each plane of the rows waits to be packed, in bytes from the start of the batch. Vectors wait nowhere. */
	readonly offsets: readonly number[];
}

/** Pieces that are read one after the other, and packed together. */
export type Batch = readonly Piece[];

export const isVector = ({ weight }: PlannedWeight) =>
	weight.shape.length === 1;

/** Cuts weights into batches. Throws UnsupportedError where not even one tile of a matrix fits into a batch. */
export function cutBatches(planned: readonly PlannedWeight[]): Batch[] {
	const batches: Piece[][] = [[]];
	let used = 0;
	for (const of of planned) {
		const { rows, planes, name } = of.matrix;
		if (isVector(of)) {
			batches.at(-1)!.push({ of, lo: 0, hi: rows, offsets: [] });
			continue;
		}
		const rowBytes = planes.reduce((sum, plane) => sum + plane.rowBytes, 0);
		const fitting = (bytes: number) => {
			const room = bytes - PLANE_ALIGNMENT * planes.length;
			return Math.max(0, Math.floor(room / rowBytes / TILE_ROWS) * TILE_ROWS);
		};
		if (fitting(BATCH_BYTES) === 0)
			throw new UnsupportedError(
				`${name}: ${TILE_ROWS} rows take ${TILE_ROWS * rowBytes} bytes, more than the ${BATCH_BYTES} that can be packed at once`,
			);
		for (let lo = 0, hi: number; lo < rows; lo = hi) {
			hi = Math.min(lo + fitting(BATCH_BYTES - used), rows);
			if (hi === lo) {
				batches.push([]);
				used = 0;
				continue;
			}
			const offsets = planes.map((plane) => {
				const offset = used;
				const bytes = (hi - lo) * plane.rowBytes;
				used += Math.ceil(bytes / PLANE_ALIGNMENT) * PLANE_ALIGNMENT;
				return offset;
			});
			batches.at(-1)!.push({ of, lo, hi, offsets });
		}
	}
	return batches;
}

/** The program that packs a batch, which lies from `start(bank)` on in the bank of each weight: one instruction. */
export function packingProgram(
	batch: Batch,
	start: (bank: number) => number,
): Program {
	const calls = batch
		.filter(({ of }) => !isVector(of))
		.map((piece) => packingCall(piece, start(piece.of.weight.bank)));
	return { instructions: [{ calls }], scratch: [], scratchBytes: 0 };
}

/** Tiles of a matrix follow each other, so some of its rows are packed as a matrix of their own. */
function packingCall({ of, lo, hi, offsets }: Piece, start: number): Call {
	const { weight, matrix } = of;
	const { pack: kernel, cols: k, block, planes } = matrix;
	if (!isKernel(kernel))
		throw new UnsupportedError(
			`${matrix.name}: no kernel packs weights stored as ${matrix.scheme}`,
		);
	const layout: LayoutInfo = layouts[weight.layout as Layout];
	// Destination, then the planes in order, then sizes by name.
	const args = [
		weight.address + layout.bytes(lo, k, block),
		...offsets.map((offset) => start + offset),
	];
	const sizes: Readonly<Record<string, number>> = { n: hi - lo, k, block };
	for (const name of parameterNames(kernel).slice(args.length))
		args.push(sizes[name]!);
	return {
		kernel,
		bank: weight.bank,
		args,
		units: hi - lo,
		grain: TILE_ROWS,
		strides: [0, ...planes.map(({ rowBytes }) => rowBytes)],
	};
}
