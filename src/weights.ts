import type { Weight } from "./engine/graph.ts";
import type { Kernels } from "./engine/kernels.ts";
import { parameterNames } from "./engine/kernels.ts";
import { type Layout, type LayoutInfo, layouts } from "./engine/layouts.ts";
import type { Memory } from "./engine/memory.ts";
import { CheckpointError, UnsupportedError } from "./errors.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import type { Change, Weights } from "./models/architecture.ts";
import {
	type ActivationForm,
	findMatrix,
	type StoredMatrix,
} from "./quant/scheme.ts";

/** A weight that a model asks for, before anyone knows where it is stored. */
interface Declared {
	readonly weight: { -readonly [K in keyof Weight]: Weight[K] };
	readonly change: Change | undefined;
	/** Layer it belongs to; -1 before the first layer, Infinity after the last. */
	readonly layer: number;
}

/** A weight, where the checkpoint keeps it, and what it takes in memory. */
export interface PlannedWeight extends Declared {
	readonly matrix: StoredMatrix;
	readonly bytes: number;
}

/** Vectors (norms, biases) are few and small: they are kept as plain f32 arrays, outside of any matrix layout. */
const VECTOR = "f32";
/** Stored bytes that wait for packing at any time. */
const STAGING_BYTES = 8 * 1024 * 1024;
/** Rows of a matrix are packed in whole tiles. */
const TILE_ROWS = 16;

/** Collects what a model's `weights` asks for. */
export function collectWeights<W>(
	checkpoint: Checkpoint,
	ask: (w: Weights) => W,
): { weights: W; declared: Declared[] } {
	const declared = new Map<string, Declared>();
	const weightsAt = (prefix: string, layer: () => number): Weights => {
		const w = (
			name: string,
			shape: readonly number[],
			change?: Change,
		): Weight => {
			const full = fullName(prefix, name);
			const known = declared.get(full);
			if (known) return known.weight;
			const weight = {
				name: full,
				shape,
				layout: VECTOR,
				block: 0,
				bank: 0,
				address: 0,
			};
			declared.set(full, { weight, change, layer: layer() });
			return weight;
		};
		return Object.assign(w, {
			optional: (name: string, shape: readonly number[]) =>
				checkpoint.tensors.has(fullName(prefix, name))
					? w(name, shape)
					: undefined,
			layers: <L>(
				count: number,
				inner: string,
				each: (w: Weights, layer: number) => L,
			): L[] => {
				const all = Array.from({ length: count }, (_, i) =>
					each(
						weightsAt(`${prefix}${inner}.${i}.`, () => i),
						i,
					),
				);
				after = Infinity;
				return all;
			},
		});
	};
	let after = -1;
	const weights = ask(weightsAt("", () => after));
	return { weights, declared: [...declared.values()] };
}

const fullName = (prefix: string, name: string): string =>
	prefix + (name.endsWith(".bias") ? name : `${name}.weight`);

/** Finds every declared weight in the checkpoint. Throws CheckpointError for one that is missing or has another shape. */
export async function planWeights(
	checkpoint: Checkpoint,
	declared: readonly Declared[],
): Promise<PlannedWeight[]> {
	const planned: PlannedWeight[] = [];
	for (const d of declared) {
		const { name, shape } = d.weight;
		const matrix = await findMatrix(checkpoint, name);
		if (matrix === undefined)
			throw new CheckpointError(
				`${checkpoint.name}: tensor ${name} is missing, expected one of shape [${shape.join(", ")}]`,
			);
		const [n, k] =
			shape.length === 1 ? [1, shape[0]!] : (shape as [number, number]);
		if (matrix.rows !== n || matrix.cols !== k)
			throw new CheckpointError(
				`${checkpoint.name}: tensor ${name} has shape [${matrix.rows}, ${matrix.cols}], expected [${shape.join(", ")}]`,
			);
		if (shape.length === 1) {
			planned.push({ ...d, matrix, bytes: 4 * k });
			continue;
		}
		const layout = layoutName(matrix);
		d.weight.layout = layout;
		d.weight.block = matrix.block;
		const info: LayoutInfo = layouts[layout];
		planned.push({ ...d, matrix, bytes: info.bytes(n, k, matrix.block) });
	}
	return planned;
}

/** Prefix of a layout's name by the form of the layer's input: the same matrix has another kernel for each. */
const INPUT_FORMS: Readonly<Record<ActivationForm, string>> = {
	f32: "",
	block: "qb8_",
	"k-block": "qk8_",
	"token-asymmetric": "qd8_",
	"token-symmetric": "qs8_",
};

/** Name of the layout, with the input form that the matrix's own definition asks for. Throws UnsupportedError where no kernel reads it. */
export function layoutName(matrix: StoredMatrix): Layout {
	const name = INPUT_FORMS[matrix.activation] + matrix.layout;
	if (name in layouts) return name as Layout;
	throw new UnsupportedError(
		`${matrix.name}: no kernel reads weights stored as ${matrix.scheme}`,
	);
}

/** Spreads weights over banks, layer after layer, so that each bank holds about the same number of bytes. */
export function assignBanks(
	planned: readonly PlannedWeight[],
	banks: number,
): void {
	const layers = [...new Set(planned.map((p) => p.layer))].sort(
		(a, b) => a - b,
	);
	const total = planned.reduce((sum, p) => sum + p.bytes, 0);
	let before = 0;
	for (const layer of layers) {
		const members = planned.filter((p) => p.layer === layer);
		const bytes = members.reduce((sum, p) => sum + p.bytes, 0);
		// A layer goes where its middle byte falls.
		const bank = Math.min(
			banks - 1,
			Math.floor(((before + bytes / 2) * banks) / total),
		);
		for (const { weight } of members) weight.bank = bank;
		before += bytes;
	}
}

export interface FillOptions {
	readonly signal?: AbortSignal | undefined;
	/** Called with the stored bytes read since the last call. */
	readonly onBytes?: (bytes: number) => void;
}

/** Reads every weight into its bank, packing it on the way: never more than STAGING_BYTES of stored bytes wait in memory. */
export async function fillWeights(
	planned: readonly PlannedWeight[],
	memories: readonly Memory[],
	kernels: readonly Kernels[],
	{ signal, onBytes }: FillOptions,
): Promise<void> {
	for (const { weight, bytes } of planned)
		weight.address = memories[weight.bank]!.allocate(bytes, weight.name);
	for (const [bank, memory] of memories.entries()) {
		const staging = memory.allocate(STAGING_BYTES, "staging");
		for (const p of planned) {
			if (p.weight.bank !== bank) continue;
			signal?.throwIfAborted();
			if (p.weight.shape.length === 1) await fillVector(p, memory);
			else await fillMatrix(p, memory, kernels[bank]!, staging, signal);
			onBytes?.(p.matrix.bytes);
		}
		memory.release(staging);
	}
}

async function fillVector(
	{ weight, matrix, change }: PlannedWeight,
	memory: Memory,
): Promise<void> {
	const values = await matrix.decode(0, 1);
	memory.f32(weight.address, matrix.cols).set(change ? change(values) : values);
}

async function fillMatrix(
	{ weight, matrix }: PlannedWeight,
	memory: Memory,
	kernels: Kernels,
	staging: number,
	signal: AbortSignal | undefined,
): Promise<void> {
	const { rows, cols, planes, block } = matrix;
	const pack = (kernels as Record<string, (...args: number[]) => void>)[
		matrix.pack
	];
	if (pack === undefined)
		throw new UnsupportedError(
			`${matrix.name}: no kernel packs weights stored as ${matrix.scheme}`,
		);
	const rowBytes = planes.reduce((sum, plane) => sum + plane.rowBytes, 0);
	const room = STAGING_BYTES - TILE_ROWS * planes.length;
	const step = Math.floor(room / rowBytes / TILE_ROWS) * TILE_ROWS;
	if (step === 0)
		throw new UnsupportedError(
			`${matrix.name}: ${TILE_ROWS} rows take ${TILE_ROWS * rowBytes} bytes, more than the ${STAGING_BYTES} that can be packed at once`,
		);
	const sizes: Record<string, number> = { n: rows, k: cols, block };
	const names = parameterNames(
		matrix.pack as Parameters<typeof parameterNames>[0],
	);
	for (let lo = 0; lo < rows; lo += step) {
		signal?.throwIfAborted();
		const hi = Math.min(lo + step, rows);
		const addresses: number[] = [];
		let at = staging;
		for (const plane of planes) {
			const bytes = (hi - lo) * plane.rowBytes;
			await plane.read(lo, hi, memory.bytes(at, bytes));
			addresses.push(at);
			at += Math.ceil(bytes / 16) * 16;
		}
		// Destination, then the planes in order, then sizes by name.
		const args = [weight.address, ...addresses];
		for (const name of names.slice(args.length)) args.push(sizes[name]!);
		pack(...args, lo, hi);
	}
}
