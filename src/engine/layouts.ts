import type { KernelName } from "./kernels.ts";

/** The start of every memory, where the two modules of kernels keep their constants, each in a half of its own: nothing may be allocated there. */
export const RESERVED_BYTES = 8192;

/** Memory that each part owns in each bank, for kernels to spill into. */
export const SCRATCH_BYTES = 512 * 1024;

/** Positions of a page of keys and values. */
export const PAGE_POSITIONS = 64;

/** How a cache keeps keys and values: one element's bytes, and the scale bytes of one position, head, and k or v. */
export const cacheTypes = {
	f32: { elementBytes: 4, scaleBytes: 0 },
	f16: { elementBytes: 2, scaleBytes: 0 },
	i8: { elementBytes: 1, scaleBytes: 4 },
} as const;

export type CacheType = keyof typeof cacheTypes;

/** Bytes of one layer's keys and values in one page: assembly/pages.ts has the diagram. `d` is the size of a head. */
export function pageBytes(type: CacheType, kvHeads: number, d: number): number {
	const { elementBytes, scaleBytes } = cacheTypes[type];
	const padded = Math.ceil(d / 16) * 16;
	const position = (d + padded) * elementBytes + 2 * scaleBytes;
	return kvHeads * PAGE_POSITIONS * position;
}

/** Rows of a unit of attention_*: ⌈rows / 32⌉ · kv heads units. */
export const ATTENTION_TILE = 32;
/** Rows of a unit of attention_partial_*: ⌈rows / 4⌉ · kv heads · segments units. */
export const ATTENTION_PARTIAL_TILE = 4;
/** Rows of a unit of attention_full_f32: ⌈rows / 144⌉ · heads units. */
export const ATTENTION_FULL_TILE = 144;
/** Positions of a segment: attention_partial_* writes 4 + (d rounded up to 16) f32 per row, head and segment. */
export const ATTENTION_SEGMENT = 256;
/** The largest head that fits into scratch memory with its tile of queries. */
export const ATTENTION_MAX_HEAD = 336;
/** The most query heads that may share a kv head, for the same reason. */
export const ATTENTION_MAX_GROUP = 128;

/** How a linear layer's input reaches the kernel: as it is, or quantized once per input and shared by all that read it. */
export interface Activation {
	/** Turns f32[rows, k] into rows of `rowBytes(k)` bytes; undefined for plain f32. */
	readonly quantize: KernelName | undefined;
	readonly rowBytes: (k: number) => number;
}

export const activations = {
	f32: { quantize: undefined, rowBytes: (k) => 4 * k },
	/** int8 with a scale per 32 columns. */
	qb8: { quantize: "quantize_f32_qb8", rowBytes: (k) => (40 * k) / 32 },
	/** int8 with a scale and a zero point per row. */
	qd8: {
		quantize: "quantize_f32_qd8",
		rowBytes: (k) => 16 + 36 * Math.ceil(k / 32),
	},
	/** int8 with a scale per row. */
	qs8: {
		quantize: "quantize_f32_qs8",
		rowBytes: (k) => 16 + 36 * Math.ceil(k / 32),
	},
	/** int8 with a scale per 256 columns, and sums of 16 and 32. */
	qk8: { quantize: "quantize_f32_qk8", rowBytes: (k) => (340 * k) / 256 },
} as const satisfies Record<string, Activation>;

export type ActivationName = keyof typeof activations;

/** Types of scales, as assembly/scales.ts numbers them. */
export const scaleTypes = { F16: 0, BF16: 1, F32: 2, SHARED: 3 } as const;

/** What kernels have to know of some weight matrices beside sizes, by the names of their parameters. */
export interface Format {
	/** Bits of a code. */
	readonly bits: number;
	/** 1 where blocks have zero points, 0 where they have none. */
	readonly has_zeros: number;
	/** One of `scaleTypes`. */
	readonly scale_type: number;
}

/** How a weight matrix [n, k] is kept in memory, and the kernels that read it. */
export interface LayoutInfo {
	/** y[t, j] = Σ_k x[t, k] · w[j, k]; units are rows of w, in multiples of 16. */
	readonly gemm: KernelName;
	/** y[t, :] = w[token[t], :] */
	readonly embed: KernelName;
	readonly activation: ActivationName;
	/** Bytes of the packed matrix, without the tables that some have behind it; `block` is the number of columns that share a scale, 0 where there is none; `format` is there where the kernels ask for it. */
	readonly bytes: (
		n: number,
		k: number,
		block: number,
		format?: Format,
	) => number;
}

/** Rows of a tile of weights; the last tile is filled up with zeros. */
export const TILE_ROWS = 16;

const tiled = (n: number) => Math.ceil(n / TILE_ROWS) * TILE_ROWS;

/** 4-bit codes, a scale per block, and the sum of each row. */
const nibbles =
	(scaleBytes: number): LayoutInfo["bytes"] =>
	(n, k, block) =>
		tiled(n) * (k / 2 + (scaleBytes * k) / block + 4);

/** Bytes of a scale for each of 16 rows, or of one for all of them. */
const scaleBytes = (format?: Format) =>
	[2, 2, 4, 1][format?.scale_type ?? scaleTypes.F32]!;

/** 4-bit codes, a scale and 4 bits of zero point per block, and the sum of each row. */
const nibblesWithZeros: LayoutInfo["bytes"] = (n, k, block, format) =>
	tiled(n) * Math.ceil(4 + k / 2 + ((scaleBytes(format) + 0.5) * k) / block);

/**
 * Codes of `bits` bits in groups of 32 without gaps between blocks, a scale per block and a zero point of as many bits or none,
 * and the sum of each row.
 */
const planes: LayoutInfo["bytes"] = (n, k, block, format) => {
	const { bits = 0, has_zeros = 0 } = format ?? {};
	const wide = Math.ceil(block / 32) * 32;
	const groups = Math.ceil(((k / wide) * block) / 32);
	const headers = Math.ceil((groups * 32) / block);
	const headerBytes = scaleBytes(format) + (has_zeros * bits) / 8;
	return tiled(n) * Math.ceil(4 + groups * 4 * bits + headers * headerBytes);
};

/** 8-bit codes, a scale, a sum and a zero point per row. */
const perRow: LayoutInfo["bytes"] = (n, k) =>
	tiled(n) * (9 + 32 * Math.ceil(k / 32));

/** A byte per weight and a scale per block (0 columns: one per row). */
const bytewise: LayoutInfo["bytes"] = (n, k, block, format) =>
	tiled(n) *
	(scaleBytes(format) * Math.ceil(k / (block || k)) + 32 * Math.ceil(k / 32));

/** As many bytes as `columns` columns of each row take in a file. */
const blocks =
	(columns: number, bytes: number): LayoutInfo["bytes"] =>
	(n, k) =>
		(tiled(n) * k * bytes) / columns;

/** By the form of the input and that of the weights, where the input is quantized: a matrix is kept the same for all its forms of input. */
export const layouts = {
	f32w: {
		gemm: "gemm_f32_f32w",
		embed: "embed_f32w",
		activation: "f32",
		bytes: (n, k) => 4 * tiled(n) * k,
	},
	f16w: {
		gemm: "gemm_f32_f16w",
		embed: "embed_f16w",
		activation: "f32",
		bytes: (n, k) => 2 * tiled(n) * k,
	},
	bf16w: {
		gemm: "gemm_f32_bf16w",
		embed: "embed_bf16w",
		activation: "f32",
		bytes: (n, k) => 2 * tiled(n) * k,
	},
	qb8_qb8w: {
		gemm: "gemm_qb8_qb8w",
		embed: "embed_qb8w",
		activation: "qb8",
		bytes: (n, k) => (34 * tiled(n) * k) / 32,
	},
	f32_qc8w: {
		gemm: "gemm_f32_qc8w",
		embed: "embed_qc8w",
		activation: "f32",
		bytes: perRow,
	},
	qd8_qc8w: {
		gemm: "gemm_qd8_qc8w",
		embed: "embed_qc8w",
		activation: "qd8",
		bytes: perRow,
	},
	qs8_qc8w: {
		gemm: "gemm_qd8_qc8w",
		embed: "embed_qc8w",
		activation: "qs8",
		bytes: perRow,
	},
	f32_qc8zw: {
		gemm: "gemm_f32_qc8zw",
		embed: "embed_qc8w",
		activation: "f32",
		bytes: perRow,
	},
	qd8_qc8zw: {
		gemm: "gemm_qd8_qc8w",
		embed: "embed_qc8w",
		activation: "qd8",
		bytes: perRow,
	},
	qs8_qc8zw: {
		gemm: "gemm_qd8_qc8w",
		embed: "embed_qc8w",
		activation: "qs8",
		bytes: perRow,
	},
	f32_qb4w_f16: {
		gemm: "gemm_f32_qb4w_f16",
		embed: "embed_qb4w_f16",
		activation: "f32",
		bytes: nibbles(2),
	},
	f32_qb4w_bf16: {
		gemm: "gemm_f32_qb4w_bf16",
		embed: "embed_qb4w_bf16",
		activation: "f32",
		bytes: nibbles(2),
	},
	f32_qb4w_f32: {
		gemm: "gemm_f32_qb4w_f32",
		embed: "embed_qb4w_f32",
		activation: "f32",
		bytes: nibbles(4),
	},
	qb8_qb4w_f16: {
		gemm: "gemm_qb8_qb4w_f16",
		embed: "embed_qb4w_f16",
		activation: "qb8",
		bytes: nibbles(2),
	},
	qb8_qb4w_bf16: {
		gemm: "gemm_qb8_qb4w_bf16",
		embed: "embed_qb4w_bf16",
		activation: "qb8",
		bytes: nibbles(2),
	},
	qd8_qb4w_f16: {
		gemm: "gemm_qd8_qb4w_f16",
		embed: "embed_qb4w_f16",
		activation: "qd8",
		bytes: nibbles(2),
	},
	qd8_qb4w_bf16: {
		gemm: "gemm_qd8_qb4w_bf16",
		embed: "embed_qb4w_bf16",
		activation: "qd8",
		bytes: nibbles(2),
	},
	qd8_qb4w_f32: {
		gemm: "gemm_qd8_qb4w_f32",
		embed: "embed_qb4w_f32",
		activation: "qd8",
		bytes: nibbles(4),
	},
	f32_qb4zw: {
		gemm: "gemm_f32_qb4zw",
		embed: "embed_qb4zw",
		activation: "f32",
		bytes: nibblesWithZeros,
	},
	qb8_qb4zw: {
		gemm: "gemm_qb8_qb4zw",
		embed: "embed_qb4zw",
		activation: "qb8",
		bytes: nibblesWithZeros,
	},
	qd8_qb4zw: {
		gemm: "gemm_qd8_qb4zw",
		embed: "embed_qb4zw",
		activation: "qd8",
		bytes: nibblesWithZeros,
	},
	qs8_qb4zw: {
		gemm: "gemm_qd8_qb4zw",
		embed: "embed_qb4zw",
		activation: "qs8",
		bytes: nibblesWithZeros,
	},
	qs8_qb4w_f16: {
		gemm: "gemm_qd8_qb4w_f16",
		embed: "embed_qb4w_f16",
		activation: "qs8",
		bytes: nibbles(2),
	},
	qs8_qb4w_bf16: {
		gemm: "gemm_qd8_qb4w_bf16",
		embed: "embed_qb4w_bf16",
		activation: "qs8",
		bytes: nibbles(2),
	},
	qs8_qb4w_f32: {
		gemm: "gemm_qd8_qb4w_f32",
		embed: "embed_qb4w_f32",
		activation: "qs8",
		bytes: nibbles(4),
	},
	f32_qbnw: {
		gemm: "gemm_f32_qbnw",
		embed: "embed_qbnw",
		activation: "f32",
		bytes: planes,
	},
	qb8_qbnw: {
		gemm: "gemm_qb8_qbnw",
		embed: "embed_qbnw",
		activation: "qb8",
		bytes: planes,
	},
	qd8_qbnw: {
		gemm: "gemm_qd8_qbnw",
		embed: "embed_qbnw",
		activation: "qd8",
		bytes: planes,
	},
	qs8_qbnw: {
		gemm: "gemm_qd8_qbnw",
		embed: "embed_qbnw",
		activation: "qs8",
		bytes: planes,
	},
	f8e4m3w: {
		gemm: "gemm_f32_f8e4m3w",
		embed: "embed_f8e4m3w",
		activation: "f32",
		bytes: bytewise,
	},
	f8e5m2w: {
		gemm: "gemm_f32_f8e5m2w",
		embed: "embed_f8e5m2w",
		activation: "f32",
		bytes: bytewise,
	},
	qb8_qb5w: {
		gemm: "gemm_qb8_qb5w",
		embed: "embed_qb5w",
		activation: "qb8",
		bytes: blocks(32, 22),
	},
	qb8_q4_1w: {
		gemm: "gemm_qb8_q4_1w",
		embed: "embed_q4_1w",
		activation: "qb8",
		bytes: blocks(32, 20),
	},
	qb8_q5_1w: {
		gemm: "gemm_qb8_q5_1w",
		embed: "embed_q5_1w",
		activation: "qb8",
		bytes: blocks(32, 24),
	},
	qk8_q2kw: {
		gemm: "gemm_qk8_q2kw",
		embed: "embed_q2kw",
		activation: "qk8",
		bytes: blocks(256, 84),
	},
	qk8_q3kw: {
		gemm: "gemm_qk8_q3kw",
		embed: "embed_q3kw",
		activation: "qk8",
		bytes: blocks(256, 110),
	},
	qk8_q4kw: {
		gemm: "gemm_qk8_q4kw",
		embed: "embed_q4kw",
		activation: "qk8",
		bytes: blocks(256, 144),
	},
	qk8_q5kw: {
		gemm: "gemm_qk8_q5kw",
		embed: "embed_q5kw",
		activation: "qk8",
		bytes: blocks(256, 176),
	},
	qk8_q6kw: {
		gemm: "gemm_qk8_q6kw",
		embed: "embed_q6kw",
		activation: "qk8",
		bytes: blocks(256, 210),
	},
	qb8_iq4nlw: {
		gemm: "gemm_qb8_iq4nlw",
		embed: "embed_iq4nlw",
		activation: "qb8",
		bytes: blocks(32, 18),
	},
	qb8_mxfp4w: {
		gemm: "gemm_qb8_mxfp4w",
		embed: "embed_mxfp4w",
		activation: "qb8",
		bytes: blocks(32, 17),
	},
	qk8_iq4xsw: {
		gemm: "gemm_qk8_iq4xsw",
		embed: "embed_iq4xsw",
		activation: "qk8",
		bytes: blocks(256, 136),
	},
	f32_lut4w_f32: {
		gemm: "gemm_f32_lut4w_f32",
		embed: "embed_lut4w_f32",
		activation: "f32",
		bytes: (n, k, block) => tiled(n) * (k / 2 + (4 * k) / block),
	},
	f32_lut4w_u8: {
		gemm: "gemm_f32_lut4w_u8",
		embed: "embed_lut4w_u8",
		activation: "f32",
		bytes: (n, k, block) => tiled(n) * (k / 2 + k / block),
	},
	qk8_tq1w: {
		gemm: "gemm_qk8_tq1w",
		embed: "embed_tq1w",
		activation: "qk8",
		bytes: blocks(256, 54),
	},
	qk8_tq2w: {
		gemm: "gemm_qk8_tq2w",
		embed: "embed_tq2w",
		activation: "qk8",
		bytes: blocks(256, 66),
	},
} as const satisfies Record<string, LayoutInfo>;

export type Layout = keyof typeof layouts;
