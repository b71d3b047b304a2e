import { isKernel, parameterNames } from "./engine/kernels.ts";
import { type LayoutInfo, layouts, TILE_ROWS } from "./engine/layouts.ts";
import type { Memory } from "./engine/memory.ts";
import type { Pool } from "./engine/pool.ts";
import type { Program } from "./engine/program.ts";
import {
	EngineError,
	NibbleError,
	SourceError,
	UnsupportedError,
} from "./errors.ts";
import type { PlannedWeight } from "./weights.ts";

/** Stored bytes that are read at once: enough to make little of what each read costs besides. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** Pieces that have room at a time: one is packed while the others are read. */
const STAGED_PIECES = 4;
const STAGING_BYTES = STAGED_PIECES * PIECE_BYTES;
/** Planes begin at addresses that any kernel can load from. */
const PLANE_ALIGNMENT = 16;
/** Packing depends on nothing that differs from step to step. */
const STEP = { rows: 0, outputs: 0 };

export interface FillOptions {
	readonly signal?: AbortSignal | undefined;
	/** Called with the stored bytes packed since the last call. */
	readonly onBytes?: (bytes: number) => void;
}

/** Rows [lo, hi) of a weight on their way into memory. */
interface Piece {
	readonly of: PlannedWeight;
	readonly lo: number;
	readonly hi: number;
}

/**
 * Reads every weight into its bank. All parts of the pool pack a piece while the next ones are read, so this takes up
 * programs of its own. After an error nothing is read or packed any more.
 * Throws EngineError where memory runs out or a part fails, CheckpointError, SourceError or UnsupportedError where the
 * checkpoint cannot be read, or the signal's reason.
 */
export async function fillWeights(
	planned: readonly PlannedWeight[],
	memories: readonly Memory[],
	pool: Pool,
	{ signal, onBytes }: FillOptions = {},
): Promise<void> {
	for (const [bank, memory] of memories.entries()) {
		const mine = planned.filter((p) => p.weight.bank === bank);
		const total = mine.reduce((sum, { bytes }) => sum + bytes, 0);
		memory.reserve(total + STAGING_BYTES, "the weights");
	}
	for (const { weight, bytes } of planned)
		weight.address = memories[weight.bank]!.allocate(bytes, weight.name);
	// Memory must not grow from here on: that would take it away from under a read.
	const staging = memories.map((memory) =>
		memory.allocate(STAGING_BYTES, "staging"),
	);
	const pieces = planned.flatMap(cut);
	const places = pieces.map(
		({ of }, i) => staging[of.weight.bank]! + (i % STAGED_PIECES) * PIECE_BYTES,
	);
	await pool.prepare(pieces.map((piece, i) => packing(piece, places[i]!)));

	const reads: Promise<void>[] = [];
	const startReads = (end: number) => {
		while (reads.length < Math.min(end, pieces.length)) {
			const { of, lo, hi } = pieces[reads.length]!;
			const memory = memories[of.weight.bank]!;
			const read = isVector(of)
				? readVector(of, memory)
				: readRows(of, lo, hi, memory, places[reads.length]!);
			// One may fail before its turn to be waited for.
			read.catch(() => {});
			reads.push(read);
		}
	};
	try {
		for (const [index, { of, lo, hi }] of pieces.entries()) {
			signal?.throwIfAborted();
			startReads(index + STAGED_PIECES);
			try {
				await reads[index];
				if (!isVector(of)) await pool.step(index, STEP);
			} catch (error) {
				signal?.throwIfAborted();
				throw naming(of, error);
			}
			onBytes?.((of.matrix.bytes * (hi - lo)) / of.matrix.rows);
		}
	} finally {
		await Promise.allSettled(reads);
	}
	for (const [bank, memory] of memories.entries())
		memory.release(staging[bank]!);
}

const isVector = ({ weight }: PlannedWeight) => weight.shape.length === 1;

/** Cuts a weight into pieces of whole tiles. */
function cut(of: PlannedWeight): Piece[] {
	const { rows, name, planes } = of.matrix;
	if (isVector(of)) return [{ of, lo: 0, hi: rows }];
	const rowBytes = planes.reduce((sum, plane) => sum + plane.rowBytes, 0);
	const room = PIECE_BYTES - PLANE_ALIGNMENT * planes.length;
	const step = Math.floor(room / rowBytes / TILE_ROWS) * TILE_ROWS;
	if (step === 0)
		throw new UnsupportedError(
			`${name}: ${TILE_ROWS} rows take ${TILE_ROWS * rowBytes} bytes, more than the ${PIECE_BYTES} that can be packed at once`,
		);
	const pieces: Piece[] = [];
	for (let lo = 0; lo < rows; lo += step)
		pieces.push({ of, lo, hi: Math.min(lo + step, rows) });
	return pieces;
}

/** Where the planes of a piece at address `at` lie. */
function planeAddresses({ of, lo, hi }: Piece, at: number): number[] {
	let next = at;
	return of.matrix.planes.map(({ rowBytes }) => {
		const address = next;
		const bytes = (hi - lo) * rowBytes;
		next += Math.ceil(bytes / PLANE_ALIGNMENT) * PLANE_ALIGNMENT;
		return address;
	});
}

/** The program that packs a piece from address `at`; an empty one for vectors, which are not packed. */
function packing(piece: Piece, at: number): Program {
	const { of, lo, hi } = piece;
	const { weight, matrix } = of;
	const program = { instructions: [], scratch: [], scratchBytes: 0 };
	if (isVector(of)) return program;
	const { pack: kernel, cols: k, block, planes } = matrix;
	if (!isKernel(kernel))
		throw new UnsupportedError(
			`${matrix.name}: no kernel packs weights stored as ${matrix.scheme}`,
		);
	// Tiles follow each other, so a piece is packed as a matrix of its own.
	const layout: LayoutInfo = layouts[weight.layout as keyof typeof layouts];
	const sizes: Readonly<Record<string, number>> = { n: hi - lo, k, block };
	// Destination, then the planes in order, then sizes by name.
	const args = [
		weight.address + layout.bytes(lo, k, block),
		...planeAddresses(piece, at),
	];
	for (const name of parameterNames(kernel).slice(args.length))
		args.push(sizes[name]!);
	const call = {
		kernel,
		bank: weight.bank,
		args,
		units: hi - lo,
		grain: TILE_ROWS,
		strides: [0, ...planes.map(({ rowBytes }) => rowBytes)],
	};
	return { ...program, instructions: [{ calls: [call] }] };
}

async function readVector(
	{ weight, matrix, change }: PlannedWeight,
	memory: Memory,
): Promise<void> {
	const values = await matrix.decode(0, 1);
	const changed = change ? change(values) : values;
	memory.f32(weight.address, matrix.cols).set(changed);
}

/** Reads rows of a matrix to address `at`. */
async function readRows(
	of: PlannedWeight,
	lo: number,
	hi: number,
	memory: Memory,
	at: number,
): Promise<void> {
	const addresses = planeAddresses({ of, lo, hi }, at);
	for (const [i, plane] of of.matrix.planes.entries()) {
		const bytes = (hi - lo) * plane.rowBytes;
		await plane.read(lo, hi, memory.bytes(addresses[i]!, bytes));
	}
}

/** An error of a source or a part, which know nothing of weights, with the name of the weight that it happened to. */
function naming({ matrix }: PlannedWeight, error: unknown): unknown {
	const text = error instanceof Error ? error.message : String(error);
	const message = `${matrix.name}: ${text}`;
	if (error instanceof EngineError)
		return new EngineError(message, { cause: error });
	if (error instanceof SourceError) {
		const { status, url } = error;
		return new SourceError(message, {
			cause: error,
			...(status === undefined ? {} : { status }),
			...(url === undefined ? {} : { url }),
		});
	}
	if (error instanceof NibbleError) return error;
	// Whoever wrote the source throws what they like.
	return new SourceError(message, { cause: error });
}
