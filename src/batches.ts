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

/** Most bytes of a batch: enough to make little of what waking the parts costs. */
export const BATCH_BYTES = 8 * 1024 * 1024;
/** Of a smaller model it is this part, so that all that are staged take no more than a tenth of the memory of its weights. */
const BATCHES = 32;
const LEAST_BATCH_BYTES = 1024 * 1024;
/** Planes begin at addresses that any kernel can load from. */
const PLANE_ALIGNMENT = 16;
/** Batches that there is room for: one is packed while the others are read. */
export const STAGED_BATCHES = 3;

/** Rows [lo, hi) of a weight on their way into memory: whole tiles, or all of a vector. */
export interface Piece {
	readonly of: PlannedWeight;
	readonly lo: number;
	readonly hi: number;
	/** Where each plane of the rows waits to be packed, in bytes from the start of the batch. Vectors wait nowhere. */
	readonly offsets: readonly number[];
}

/** Pieces that are read one after the other, and packed together. */
export interface Batch {
	readonly pieces: readonly Piece[];
	/** Where it lies in the staging memory. Some batches share a place: while one is there, the others are not read. */
	readonly start: number;
	/** Stored bytes, with what is between planes. */
	readonly bytes: number;
}

export const isVector = ({ weight }: PlannedWeight) =>
	weight.shape.length === 1;

/** Cuts weights into batches. Throws UnsupportedError where not even one tile of a matrix fits into a batch. */
export function cutBatches(planned: readonly PlannedWeight[]): Batch[] {
	const batches: Batch[] = [];
	const most = batchBytes(planned);
	let pieces: Piece[] = [];
	let used = 0;
	const finish = () => {
		const start = (batches.length % STAGED_BATCHES) * most;
		if (pieces.length > 0) batches.push({ pieces, start, bytes: used });
		pieces = [];
		used = 0;
	};
	for (const of of planned) {
		const { rows, planes, name } = of.matrix;
		if (isVector(of)) {
			pieces.push({ of, lo: 0, hi: rows, offsets: [] });
			continue;
		}
		const rowBytes = rowBytesOf(of);
		const fitting = (bytes: number) => {
			const room = bytes - PLANE_ALIGNMENT * planes.length;
			return Math.max(0, Math.floor(room / rowBytes / TILE_ROWS) * TILE_ROWS);
		};
		if (fitting(most) === 0)
			throw new UnsupportedError(
				`${name}: ${TILE_ROWS} rows take ${TILE_ROWS * rowBytes} bytes, more than the ${BATCH_BYTES} that can be packed at once`,
			);
		for (let lo = 0, hi: number; lo < rows; lo = hi) {
			hi = Math.min(lo + fitting(most - used), rows);
			if (hi === lo) {
				finish();
				continue;
			}
			const offsets = planes.map((plane) => {
				const offset = used;
				const bytes = (hi - lo) * plane.rowBytes;
				used += Math.ceil(bytes / PLANE_ALIGNMENT) * PLANE_ALIGNMENT;
				return offset;
			});
			pieces.push({ of, lo, hi, offsets });
		}
	}
	finish();
	return batches;
}

/** Most bytes of each batch of these weights: any tile of theirs fits, unless it is larger than BATCH_BYTES. */
function batchBytes(planned: readonly PlannedWeight[]): number {
	let stored = 0;
	let tile = 0;
	for (const of of planned.filter((of) => !isVector(of))) {
		const { rows, planes } = of.matrix;
		const rowBytes = rowBytesOf(of);
		stored += rows * rowBytes;
		tile = Math.max(
			tile,
			TILE_ROWS * rowBytes + PLANE_ALIGNMENT * planes.length,
		);
	}
	const wanted = Math.max(LEAST_BATCH_BYTES, tile, stored / BATCHES);
	return Math.min(
		BATCH_BYTES,
		Math.ceil(wanted / PLANE_ALIGNMENT) * PLANE_ALIGNMENT,
	);
}

/** Stored bytes of a row, in all planes. */
const rowBytesOf = ({ matrix }: PlannedWeight): number =>
	matrix.planes.reduce((sum, plane) => sum + plane.rowBytes, 0);

/** Bytes of staging memory that batches need, in each bank. */
export const stagingBytes = (batches: readonly Batch[]): number =>
	batches.reduce((max, { start, bytes }) => Math.max(max, start + bytes), 0);

/** The program that packs a batch: one instruction. `staging` is the address of the staging memory of each bank. */
export function packingProgram(
	{ pieces, start }: Batch,
	staging: readonly number[],
): Program {
	const calls = pieces
		.filter(({ of }) => !isVector(of))
		.map((piece) => packingCall(piece, staging[piece.of.weight.bank]! + start));
	return { instructions: [{ calls }], scratch: [], scratchBytes: 0 };
}

/** Tiles of a matrix follow each other, so some of its rows are packed as a matrix of their own. */
function packingCall({ of, lo, hi, offsets }: Piece, start: number): Call {
	const { weight, matrix, width: k } = of;
	const { pack: kernel, planes } = matrix;
	const { block, format } = weight;
	if (!isKernel(kernel))
		throw new UnsupportedError(
			`${matrix.name}: no kernel packs weights stored as ${matrix.scheme}`,
		);
	const layout: LayoutInfo = layouts[weight.layout as Layout];
	// Destination, then the planes in order, then sizes by name.
	const args = [
		weight.address + layout.bytes(lo, k, block, format),
		...offsets.map((offset) => start + offset),
	];
	const sizes: Readonly<Record<string, number>> = {
		n: hi - lo,
		k,
		block,
		...format,
	};
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
