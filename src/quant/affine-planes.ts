// Affine matrices as kernels take them: which planes, with which columns, for which layout.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { affineLayout, int8, keepsZeros, keptBits } from "./affine.ts";
import { arranged, arrangementOf } from "./arrangement.ts";
import { differences } from "./differences.ts";
import type { GroupIndex } from "./group-index.ts";
import type { Plane, StoredMatrix } from "./scheme.ts";

/** The constituents of an affine matrix as a file has them. */
export interface AffineParts {
	/** Integers, or 8-bit floats, one per byte. */
	readonly codes: Plane;
	/** The same integers of 4 bits, eight to a word, where they are stored like that. */
	readonly packed?: Plane | undefined;
	/** Floats [rows, groups] */
	readonly scales: Plane;
	/** i8[rows, groups]; absent where all are zero. */
	readonly zeros?: Plane | undefined;
	readonly bits: number;
	readonly cols: number;
	/** Columns per scale; the last group may have fewer. */
	readonly block: number;
	/** Where columns of one group do not lie together. */
	readonly order?: GroupIndex | undefined;
	/** The tensor of the codes, which errors name. */
	readonly tensor: StoredTensor;
}

export function affinePlanes(
	parts: AffineParts,
): Pick<StoredMatrix, "planes" | "layout" | "pack" | "format" | "arrangement"> {
	const { bits, cols, scales, order, tensor } = parts;
	const isFloat = parts.codes.type === "F8_E4M3";
	const isPerRow = parts.block >= cols;
	// Rows of bytes may have any length.
	const isBytes = keptBits(bits) === 8;
	const arrangement =
		isBytes && isPerRow
			? undefined
			: arrangementOf(cols, parts.block, order, isBytes);
	const block = arrangement?.block ?? parts.block;
	const zeros = parts.zeros && checked(parts.zeros, bits, tensor);
	const zerosOf =
		zeros && (async (lo: number, hi: number) => int8(await zeros.read(lo, hi)));
	const codes = arrangement
		? arranged(parts.codes, arrangement, zerosOf)
		: (parts.packed ?? parts.codes);
	const isPacked = codes === parts.packed;
	const layout = affineLayout({
		bits,
		block,
		cols: arrangement?.columns.length ?? cols,
		scaleType: scales.type,
		zeros: zeros !== undefined,
		codes: isPacked ? "packed" : isFloat ? "f8_e4m3" : "i8",
	});
	const planes =
		zerosOf && !keepsZeros(bits)
			? [differences({ codes, zeros: zerosOf, bits, block, tensor }), scales]
			: [codes, scales, ...(zeros ? [zeros] : [])];
	return { ...layout, planes, ...(arrangement && { arrangement }) };
}

/** Zero points that kernels have bits for: those of codes. */
function checked(zeros: Plane, bits: number, tensor: StoredTensor): Plane {
	const half = 2 ** (bits - 1);
	return {
		...zeros,
		async read(lo, hi, into) {
			const bytes = await zeros.read(lo, hi, into);
			const bad = int8(bytes).find((zero) => zero < -half || zero >= half);
			if (bad === undefined) return bytes;
			throw new CheckpointError(
				`${tensor.file}: ${tensor.name} has a zero point of ${bad}, expected int${bits}`,
			);
		},
	};
}
