// Integers with a scale per group of columns, the arithmetic that torchao and compressed-tensors share:
//
//   w[n, c] = T((q[n, c] − z[n, g]) · s[n, g])      g = c div (columns per group), or the group that g_idx gives c
//
// T is the precision of the scheme's arithmetic; q − z is exact in all of them, so only the product is rounded to it.
import { wideOf } from "./arrangement.ts";
import { type Precision, roundTo } from "./floats.ts";
import type { ScaleType, StoredMatrix } from "./scheme.ts";

export interface Affine {
	readonly cols: number;
	/** Groups per row. */
	readonly groups: number;
	readonly precision: Precision;
	/** q of rows [lo, hi): integers, or the values of an 8-bit float format. */
	codes(lo: number, hi: number): Promise<Int8Array | Float32Array>;
	/** s, f32[hi − lo, groups] */
	scales(lo: number, hi: number): Promise<Float32Array>;
	/** z, i8[hi − lo, groups]; absent where all are zero. */
	zeros?(lo: number, hi: number): Promise<Int8Array>;
	/** The group of each column, where they are not consecutive runs of equal length. */
	readonly groupOf?: Int32Array;
}

/** The definition of an affine matrix. */
export function affineDecoder(matrix: Affine): StoredMatrix["decode"] {
	const { cols, groups, precision, groupOf } = matrix;
	const round = roundTo[precision];
	const block = cols / groups;
	return async (lo, hi) => {
		const codes = await matrix.codes(lo, hi);
		const scales = await matrix.scales(lo, hi);
		const zeros = await matrix.zeros?.(lo, hi);
		const out = new Float32Array(codes.length);
		for (let row = 0; row < hi - lo; row++) {
			for (let col = 0; col < cols; col++) {
				const group =
					row * groups + (groupOf?.[col] ?? Math.floor(col / block));
				const i = row * cols + col;
				const code = codes[i]! - (zeros?.[group] ?? 0);
				out[i] = round(Math.fround(code * scales[group]!));
			}
		}
		return out;
	};
}

export interface AffineStorage {
	readonly bits: number;
	/** Columns per scale. */
	readonly block: number;
	readonly cols: number;
	/** As containers spell it, or "SHARED": f32 that are the same for the 16 rows of a tile. */
	readonly scaleType: string;
	/** Whether there are zero points other than zero. */
	readonly zeros: boolean;
	/** Integers one per byte, integers of 4 bits packed into words, or 8-bit floats. */
	readonly codes: "i8" | "packed" | "f8_e4m3";
}

/** Whether a layout of 4-bit codes keeps such integers. */
export function isNibbles({
	bits,
	block,
	scaleType,
}: Pick<AffineStorage, "bits" | "block" | "scaleType">): boolean {
	return bits === 4 && block === wideOf(block) && scaleType !== "SHARED";
}

/** The layout, the kernel that packs it, and what both have to know. Blocks that are no multiple of 32 columns get gaps behind them. */
export function affineLayout(
	storage: AffineStorage,
): Pick<StoredMatrix, "layout" | "pack" | "format" | "arrangement"> {
	const { bits, block, cols, codes, zeros } = storage;
	const scale = storage.scaleType.toLowerCase();
	const z = zeros ? "z" : "";
	const format = {
		bits,
		zeros,
		scaleType: storage.scaleType as ScaleType,
	};
	if (codes === "f8_e4m3") {
		const layout = `f8e4m3${z}w`;
		return { layout, pack: `pack_${layout}_${codes}_scaled`, format };
	}
	if (bits === 8 && block === cols)
		return { layout: `qc8${z}w`, pack: `pack_qc8${z}w_${codes}_${scale}` };
	if (!isNibbles(storage)) {
		const wide = wideOf(block);
		return {
			layout: "qbnw",
			pack: `pack_qbnw_${codes}${zeros ? "_zeros" : ""}`,
			format,
			...(wide !== block && {
				arrangement: { width: (cols / block) * wide, block },
			}),
		};
	}
	if (zeros) return { layout: "qb4zw", pack: `pack_qb4zw_${codes}`, format };
	const layout = `qb4w_${scale}`;
	return { layout, pack: `pack_${layout}_${codes}` };
}

/** "g128", or "per row" where a row has one scale. */
export function blockLabel(block: number, cols: number): string {
	return block === cols ? "per row" : `g${block}`;
}

/** Bytes as signed ones, not copied. */
export function int8(bytes: Uint8Array): Int8Array {
	return new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
