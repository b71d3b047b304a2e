import {
	type Batch,
	cutBatches,
	isVector,
	type Piece,
	packingProgram,
	STAGED_BATCHES,
	stagingBytes,
} from "./batches.ts";
import type { Memory } from "./engine/memory.ts";
import type { Pool } from "./engine/pool.ts";
import { EngineError, NibbleError, SourceError } from "./errors.ts";
import type { PlannedWeight } from "./weights.ts";

/** Packing depends on nothing that differs from step to step. */
const STEP = { rows: 0, outputs: 0 };

export interface FillOptions {
	readonly signal?: AbortSignal | undefined;
	/** Called with the stored bytes read since the last call. They add up to those of all weights. */
	readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Reads every weight into its bank. All parts of the pool pack a batch while the next ones are read, so the pool is given
 * programs for that. Once this has failed, nothing is read or packed any more.
 * Rejects with EngineError where memory runs out or a part fails; with CheckpointError, SourceError or UnsupportedError
 * where the checkpoint cannot be read; with the signal's reason.
 */
export async function fillWeights(
	planned: readonly PlannedWeight[],
	memories: readonly Memory[],
	pool: Pool,
	{ signal, onBytes }: FillOptions = {},
): Promise<void> {
	const batches = cutBatches(planned);
	const staging = allocate(planned, memories, stagingBytes(batches));
	await pool.prepare(batches.map((batch) => packingProgram(batch, staging)));

	let over = false;
	const read = async ({ pieces, start }: Batch): Promise<void> => {
		for (const piece of pieces) {
			if (over) return;
			signal?.throwIfAborted();
			const { bank } = piece.of.weight;
			const at = staging[bank]! + start;
			await readPiece(piece, memories[bank]!, at, signal);
			onBytes?.(bytesOf(piece));
		}
	};
	const reads: Promise<void>[] = [];
	try {
		for (const [index, batch] of batches.entries()) {
			while (reads.length < Math.min(index + STAGED_BATCHES, batches.length)) {
				const next = read(batches[reads.length]!);
				// One may fail before its turn to be waited for.
				next.catch(() => {});
				reads.push(next);
			}
			await reads[index];
			signal?.throwIfAborted();
			await pack(pool, index, batch);
		}
	} finally {
		over = true;
		await Promise.allSettled(reads);
	}
	for (const [bank, memory] of memories.entries())
		memory.release(staging[bank]!);
}

/** Gives every weight its address. Returns that of the staging memory, in each bank. */
function allocate(
	planned: readonly PlannedWeight[],
	memories: readonly Memory[],
	staged: number,
): number[] {
	for (const [bank, memory] of memories.entries()) {
		const mine = planned.filter((p) => p.weight.bank === bank);
		const total = mine.reduce((sum, { bytes }) => sum + bytes, 0);
		memory.reserve(total + staged, "the weights");
	}
	for (const { weight, bytes } of planned)
		weight.address = memories[weight.bank]!.allocate(bytes, weight.name);
	// Memory must not grow before all is packed: that would take it away from under a read.
	return memories.map((memory) => memory.allocate(staged, "staging"));
}

/** Stored bytes of a piece. Those of all pieces of a weight add up to its own. */
function bytesOf({ of, lo, hi }: Piece): number {
	const { bytes, rows } = of.matrix;
	return Math.round((bytes * hi) / rows) - Math.round((bytes * lo) / rows);
}

/** Reads the planes of a matrix into the batch at `start`, or a vector to where it stays. */
async function readPiece(
	{ of, lo, hi, offsets }: Piece,
	memory: Memory,
	start: number,
	signal: AbortSignal | undefined,
): Promise<void> {
	const { weight, matrix, change } = of;
	try {
		if (isVector(of)) {
			const values = await matrix.decode(0, 1);
			const changed = change ? change(values) : values;
			memory.f32(weight.address, matrix.cols).set(changed);
			return;
		}
		for (const [i, plane] of matrix.planes.entries()) {
			const bytes = (hi - lo) * plane.rowBytes;
			await plane.read(lo, hi, memory.bytes(start + offsets[i]!, bytes));
		}
		if (of.behind && hi === matrix.rows) {
			const { buffer, byteOffset, byteLength } = of.behind;
			const end = weight.address + of.bytes;
			memory
				.bytes(end - byteLength, byteLength)
				.set(new Uint8Array(buffer, byteOffset, byteLength));
		}
	} catch (error) {
		signal?.throwIfAborted();
		throw naming(matrix.name, error);
	}
}

async function pack(
	pool: Pool,
	index: number,
	{ pieces }: Batch,
): Promise<void> {
	const matrices = pieces.filter(({ of }) => !isVector(of));
	if (matrices.length === 0) return;
	try {
		await pool.step(index, STEP);
	} catch (error) {
		const names = matrices.map(({ of }) => of.matrix.name);
		const which = [...new Set([names[0], names.at(-1)])].join(" to ");
		throw new EngineError(`packing ${which}: ${messageOf(error)}`, {
			cause: error,
		});
	}
}

/** Sources know nothing of weights: their errors, with the name of the weight that was read. */
function naming(name: string, error: unknown): unknown {
	if (error instanceof NibbleError && !(error instanceof SourceError))
		return error;
	const { status, url } = error instanceof SourceError ? error : {};
	// Whoever writes a source of their own throws what they like.
	return new SourceError(`${name}: ${messageOf(error)}`, {
		cause: error,
		...(status === undefined ? {} : { status }),
		...(url === undefined ? {} : { url }),
	});
}

const messageOf = (error: unknown) =>
	error instanceof Error ? error.message : String(error);
