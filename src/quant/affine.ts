// Integers with a scale per group of columns, the arithmetic that torchao and compressed-tensors share:
//
//   w[n, c] = T((q[n, c] − z[n, g]) · s[n, g])      g = c div (columns per group), or the group that g_idx gives c
//
// T is the precision of the scheme's arithmetic; q − z is exact in all of them, so only the product is rounded to it.
import { type Precision, roundTo } from "./floats.ts";
import type { StoredMatrix } from "./scheme.ts";

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
	readonly scaleType: string;
	/** Whether there are zero points other than zero. */
	readonly zeros: boolean;
	/** Integers one per byte, integers of 4 bits packed into words, or 8-bit floats. */
	readonly codes: "i8" | "packed" | "f8_e4m3";
}

/** Blocks of columns that kernels read: others, which arrangement.ts leaves alone, have a layout of their own, which none reads. */
const BLOCK_MULTIPLE = 32;

/** Bits that a code takes in memory: narrower ones are widened, to 4 or to 8. */
export function keptBits(bits: number): 4 | 8 {
	return bits <= 4 ? 4 : 8;
}

/** Whether zero points have to be kept: widened codes have room for q − z (differences.ts). */
export function keepsZeros(bits: number): boolean {
	return bits === keptBits(bits);
}

/** Names of the layout and of the kernel that packs it. */
export function affineLayout(
	storage: AffineStorage,
): Pick<StoredMatrix, "layout" | "pack" | "format"> {
	const { bits, block, cols, codes } = storage;
	const kept = keptBits(bits);
	const scale = storage.scaleType.toLowerCase();
	const z = storage.zeros && keepsZeros(bits) ? "z" : "";
	const float = codes === "f8_e4m3";
	if (kept === 8 && block === cols && !float) {
		return { layout: `qc8${z}w`, pack: `pack_qc8${z}w_${codes}_${scale}` };
	}
	const whole = block % BLOCK_MULTIPLE === 0 || (float && block >= cols);
	const odd = whole ? "" : `_${block}`;
	if (kept === 4 && z) {
		const layout = `qb4zw${odd}`;
		const format = { scaleType: storage.scaleType as Precision };
		return { layout, pack: `pack_${layout}_${codes}`, format };
	}
	if (kept === 8) {
		const family = float ? `f8e4m3${z}w` : `qb8${z}w_f32`;
		const layout = `${family}${odd}`;
		return { layout, pack: `pack_${layout}_${codes}_${scale}` };
	}
	const layout = `qb4w_${scale}${odd}`;
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
