// Affine matrices as kernels take them: which planes, with which columns, for which layout.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { affineLayout, int8, isNibbles } from "./affine.ts";
import { arranged, placed, wideOf } from "./arrangement.ts";
import { widen } from "./floats.ts";
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
	/** Whether tiles of 16 rows share their scales. @default false */
	readonly sharesScales?: boolean;
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

type Kept = Pick<
	StoredMatrix,
	"planes" | "layout" | "pack" | "format" | "arrangement"
>;

export function affinePlanes(parts: AffineParts): Kept {
	return parts.codes.type === "F8_E4M3"
		? floatPlanes(parts)
		: integerPlanes(parts);
}

function integerPlanes(parts: AffineParts): Kept {
	const { bits, cols, block, order, tensor } = parts;
	const groups = Math.ceil(cols / block);
	const isShared = (parts.sharesScales ?? false) && groups > 1;
	const zeros = parts.zeros && checked(parts.zeros, bits, tensor);
	const isArranged = order !== undefined || cols % block !== 0;
	const storage = {
		bits,
		block,
		cols: groups * block,
		scaleType: isShared ? ("SHARED" as const) : parts.scales.type,
		zeros: zeros !== undefined,
	};
	const takesPacked = !isArranged && isNibbles(storage);
	const packed = takesPacked ? parts.packed : undefined;
	const layout = affineLayout({ ...storage, codes: packed ? "packed" : "i8" });
	const scales = isShared ? widened(parts.scales) : parts.scales;
	const rest = [scales, ...(zeros ? [zeros] : [])];
	if (!isArranged)
		return { ...layout, planes: [packed ?? parts.codes, ...rest] };

	const columns = placed(cols, block, block, order);
	const zerosOf =
		zeros && (async (lo: number, hi: number) => int8(await zeros.read(lo, hi)));
	const seen =
		block === wideOf(block)
			? columns
			: placed(cols, block, wideOf(block), order);
	return {
		...layout,
		planes: [arranged(parts.codes, columns, block, zerosOf), ...rest],
		arrangement: { width: seen.length, block, columns: seen },
	};
}

/** Blocks of floats that are no multiple of 32 columns are filled up with zeros. */
function floatPlanes(parts: AffineParts): Kept {
	const { cols, sharesScales = false } = parts;
	const isWhole = parts.block >= cols || parts.block === wideOf(parts.block);
	const block = isWhole ? parts.block : wideOf(parts.block);
	const scales = sharesScales ? widened(parts.scales) : parts.scales;
	const layout = affineLayout({
		bits: 8,
		block,
		cols,
		scaleType: sharesScales ? "SHARED" : parts.scales.type,
		zeros: parts.zeros !== undefined,
		codes: "f8_e4m3",
	});
	if (isWhole) return { ...layout, planes: [parts.codes, scales] };
	const columns = placed(cols, parts.block, block);
	return {
		...layout,
		planes: [arranged(parts.codes, columns, block), scales],
		arrangement: { width: columns.length, block, columns },
	};
}

/** Floats as f32. */
function widened(plane: Plane): Plane {
	if (plane.type === "F32") return plane;
	return {
		...plane,
		type: "F32",
		rowBytes: 2 * plane.rowBytes,
		async read(lo, hi, into) {
			const values = widen(plane.type, await plane.read(lo, hi));
			const bytes = new Uint8Array(values.buffer);
			into?.set(bytes);
			return into?.subarray(0, bytes.length) ?? bytes;
		},
	};
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
