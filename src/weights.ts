import {
	type Format,
	type Layout,
	type LayoutInfo,
	layouts,
	scaleTypes,
} from "./engine/layouts.ts";
import type { Weight } from "./engine/operands.ts";
import { CheckpointError, UnsupportedError } from "./errors.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import type { Change, Weights } from "./models/architecture.ts";
import {
	type ActivationForm,
	findMatrix,
	matrixNames,
	type StoredMatrix,
} from "./quant/scheme.ts";
import { transposed } from "./quant/transposed.ts";

/** A weight that a model asks for, before anyone knows where it is stored. */
interface Declared {
	readonly weight: { -readonly [K in keyof Weight]: Weight[K] };
	readonly change: Change | undefined;
	/** Whether the checkpoint has it the other way around. */
	readonly transposed: boolean;
	/** Layer it belongs to; -1 before the first layer, Infinity after the last. */
	readonly layer: number;
}

/** A weight, where the checkpoint keeps it, and what it takes in memory. */
export interface PlannedWeight extends Declared {
	readonly matrix: StoredMatrix;
	/** Columns in memory. */
	readonly width: number;
	/** What lies behind the packed matrix: the last of its bytes. */
	readonly behind?: Float32Array | Int32Array | undefined;
	readonly bytes: number;
}

/** Vectors (norms, biases) are few and small: they are kept as plain f32 arrays, outside of any matrix layout. */
const VECTOR = "f32";

/** Collects what a model's `weights` asks for. */
export function collectWeights<W>(
	checkpoint: Checkpoint,
	ask: (w: Weights) => W,
): { weights: W; declared: Declared[] } {
	const declared = new Map<string, Declared>();
	const stored = new Set(matrixNames(checkpoint));
	const weightsAt = (prefix: string, layer: () => number): Weights => {
		const declare = (
			name: string,
			shape: readonly number[],
			how: Pick<Declared, "change" | "transposed">,
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
			declared.set(full, { weight, ...how, layer: layer() });
			return weight;
		};
		const w = (name: string, shape: readonly number[], change?: Change) =>
			declare(name, shape, { change, transposed: false });
		return Object.assign(w, {
			optional: (name: string, shape: readonly number[]) =>
				stored.has(fullName(prefix, name)) ? w(name, shape) : undefined,
			transposed: (name: string, shape: readonly [number, number]) =>
				declare(name, shape, { change: undefined, transposed: true }),
			has: (name: string) => stored.has(fullName(prefix, name)),
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
	prefix + (/(\.bias|_weight)$/.test(name) ? name : `${name}.weight`);

/** Finds every declared weight in the checkpoint. Throws CheckpointError for one that is missing or has another shape. */
export async function planWeights(
	checkpoint: Checkpoint,
	declared: readonly Declared[],
	inputs: Inputs = "defined",
): Promise<PlannedWeight[]> {
	const planned: PlannedWeight[] = [];
	const known: Int32Array[] = [];
	for (const d of declared) {
		const { name, shape } = d.weight;
		const found = await findMatrix(checkpoint, name);
		const matrix = found && d.transposed ? transposed(found) : found;
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
			planned.push({ ...d, matrix, width: k, bytes: 4 * k });
			continue;
		}
		const layout = layoutName(matrix, inputs);
		const info: LayoutInfo = layouts[layout];
		const { arrangement } = matrix;
		const columns = arrangement?.columns && unique(known, arrangement.columns);
		const width = arrangement?.width ?? k;
		const block = arrangement?.block ?? matrix.block;
		const format = formatOf(matrix);
		const packedBytes = info.bytes(n, width, block, format);
		const behind = columns ?? matrix.tables;
		d.weight.layout = layout;
		d.weight.block = block;
		d.weight.format = format;
		d.weight.input = matrix.input;
		if (columns) d.weight.columns = { values: columns, offset: packedBytes };
		else if (arrangement) d.weight.gaps = { block, wide: (width / k) * block };
		const bytes = packedBytes + (behind?.byteLength ?? 0);
		planned.push({ ...d, matrix, width, behind, bytes });
	}
	return planned;
}

const formatOf = ({ format }: StoredMatrix): Format | undefined =>
	format && {
		bits: format.bits,
		has_zeros: Number(format.zeros),
		scale_type: scaleTypes[format.scaleType],
	};

/** One of `known` with the same values, or else `values`, which then is one of them. */
function unique(known: Int32Array[], values: Int32Array): Int32Array {
	const same = known.find(
		(other) =>
			other.length === values.length &&
			other.every((value, i) => value === values[i]),
	);
	if (!same) known.push(values);
	return same ?? values;
}

/** How the kernels name the forms of a layer's input. */
const INPUT_FORMS: Readonly<Record<ActivationForm, string>> = {
	f32: "f32",
	block: "qb8",
	"k-block": "qk8",
	"token-asymmetric": "qd8",
	"token-symmetric": "qs8",
	static: "qd8",
};

/**
 * How layers take their inputs: "defined" as the definition of their weights says, "int8" rounded to integers also where
 * it says floats.
 */
export type Inputs = "defined" | "int8";

/** Forms of integer inputs in the order of their accuracy: a scale per 32 columns, per row. */
const INTEGER_FORMS = ["qb8", "qs8"];

/**
 * Name of the layout, with the input form that the matrix's own definition asks for, or an integer form in its place.
 * Throws UnsupportedError where no kernel reads it.
 */
export function layoutName(
	matrix: StoredMatrix,
	inputs: Inputs = "defined",
): Layout {
	const form = INPUT_FORMS[matrix.activation];
	const forms =
		form === "f32" && inputs === "int8" ? [...INTEGER_FORMS, form] : [form];
	// Floats have one kernel, which takes f32.
	for (const name of [
		...forms.map((f) => `${f}_${matrix.layout}`),
		matrix.layout,
	])
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
