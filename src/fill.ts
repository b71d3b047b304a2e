import { type Kernels, parameterNames } from "./engine/kernels.ts";
import { TILE_ROWS } from "./engine/layouts.ts";
import type { Memory } from "./engine/memory.ts";
import { UnsupportedError } from "./errors.ts";
import type { PlannedWeight } from "./weights.ts";

/** Stored bytes that are read at once. Twice as many wait in memory: one piece is read while the one before is packed. */
const PIECE_BYTES = 8 * 1024 * 1024;
/** Planes begin at addresses that any kernel can load from. */
const PLANE_ALIGNMENT = 16;

export interface FillOptions {
	readonly signal?: AbortSignal | undefined;
	/** Called with the stored bytes read since the last call. */
	readonly onBytes?: (bytes: number) => void;
}

/** Some rows of a weight on their way into memory. */
interface Piece {
	readonly of: PlannedWeight;
	readonly lo: number;
	readonly hi: number;
}

/**
 * Reads every weight into its bank, packing it on the way: the next piece is read while one is packed.
 * Throws EngineError where memory runs out, CheckpointError or SourceError where the checkpoint cannot be read.
 */
export async function fillWeights(
	planned: readonly PlannedWeight[],
	memories: readonly Memory[],
	kernels: readonly Kernels[],
	{ signal, onBytes }: FillOptions,
): Promise<void> {
	for (const [bank, memory] of memories.entries()) {
		const mine = planned.filter((p) => p.weight.bank === bank);
		const total = mine.reduce((sum, { bytes }) => sum + bytes, 0);
		memory.reserve(total + 2 * PIECE_BYTES, "the weights");
	}
	for (const { weight, bytes } of planned)
		weight.address = memories[weight.bank]!.allocate(bytes, weight.name);
	// Memory must not grow from here on: that would take it away from under a read.
	const staging = memories.map((memory) =>
		memory.allocate(2 * PIECE_BYTES, "staging"),
	);
	const pieces = planned.flatMap(cut);
	const read = (index: number): Promise<() => void> => {
		const { of, lo, hi } = pieces[index]!;
		const { bank } = of.weight;
		const at = staging[bank]! + (index % 2) * PIECE_BYTES;
		return of.weight.shape.length === 1
			? readVector(of, memories[bank]!)
			: readRows(of, lo, hi, memories[bank]!, kernels[bank]!, at);
	};
	let next = pieces.length > 0 ? read(0) : undefined;
	try {
		for (const [index, { of, lo, hi }] of pieces.entries()) {
			signal?.throwIfAborted();
			const place = await next!;
			next = index + 1 < pieces.length ? read(index + 1) : undefined;
			place();
			onBytes?.((of.matrix.bytes * (hi - lo)) / of.matrix.rows);
		}
	} finally {
		await next?.catch(() => {});
	}
	for (const [bank, memory] of memories.entries())
		memory.release(staging[bank]!);
}

const bytesPerRow = ({ matrix }: PlannedWeight): number =>
	matrix.planes.reduce((sum, plane) => sum + plane.rowBytes, 0);

/** Cuts a weight into pieces of whole tiles. */
function cut(of: PlannedWeight): Piece[] {
	const { rows, name, planes } = of.matrix;
	if (of.weight.shape.length === 1) return [{ of, lo: 0, hi: rows }];
	const room = PIECE_BYTES - PLANE_ALIGNMENT * planes.length;
	const step = Math.floor(room / bytesPerRow(of) / TILE_ROWS) * TILE_ROWS;
	if (step === 0)
		throw new UnsupportedError(
			`${name}: ${TILE_ROWS} rows take ${TILE_ROWS * bytesPerRow(of)} bytes, more than the ${PIECE_BYTES} that can be packed at once`,
		);
	const pieces: Piece[] = [];
	for (let lo = 0; lo < rows; lo += step)
		pieces.push({ of, lo, hi: Math.min(lo + step, rows) });
	return pieces;
}

/** Reads a vector; the function it resolves to puts it in its place. */
async function readVector(
	{ weight, matrix, change }: PlannedWeight,
	memory: Memory,
): Promise<() => void> {
	const values = await matrix.decode(0, 1);
	return () => {
		const changed = change ? change(values) : values;
		memory.f32(weight.address, matrix.cols).set(changed);
	};
}

/** Reads rows of a matrix to address `at`; the function it resolves to packs them. */
async function readRows(
	{ weight, matrix }: PlannedWeight,
	lo: number,
	hi: number,
	memory: Memory,
	kernels: Kernels,
	at: number,
): Promise<() => void> {
	const pack = (kernels as Record<string, (...args: number[]) => void>)[
		matrix.pack
	];
	if (pack === undefined)
		throw new UnsupportedError(
			`${matrix.name}: no kernel packs weights stored as ${matrix.scheme}`,
		);
	// Destination, then the planes in order, then sizes by name.
	const args = [weight.address];
	let address = at;
	for (const plane of matrix.planes) {
		const bytes = (hi - lo) * plane.rowBytes;
		await plane.read(lo, hi, memory.bytes(address, bytes));
		args.push(address);
		address += Math.ceil(bytes / PLANE_ALIGNMENT) * PLANE_ALIGNMENT;
	}
	const sizes: Record<string, number> = {
		n: matrix.rows,
		k: matrix.cols,
		block: matrix.block,
	};
	const names = parameterNames(
		matrix.pack as Parameters<typeof parameterNames>[0],
	);
	for (const name of names.slice(args.length)) args.push(sizes[name]!);
	return () => pack(...args, lo, hi);
}
