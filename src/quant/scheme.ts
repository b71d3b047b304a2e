import { UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import type { Arrangement } from "./arrangement.ts";
import { bitsandbytes } from "./bitsandbytes.ts";
import { compressedTensors } from "./compressed-tensors.ts";
import type { Precision } from "./floats.ts";
import { ggml } from "./ggml.ts";
import { integerConstants } from "./integers.ts";
import { plain } from "./plain.ts";
import { torchao } from "./torchao.ts";
import { xnnpack } from "./xnnpack.ts";

/**
 * How a scheme's definition computes a linear layer's input before it meets the weights:
 * - "f32": as it is;
 * - "block": int8 per 32 columns, symmetric (ggml's Q8_0);
 * - "k-block": int8 per 256 columns, symmetric (ggml's Q8_K);
 * - "token-asymmetric": int8 per row with a zero point;
 * - "token-symmetric": int8 per row;
 * - "static": int8 with the scale and the zero point that the checkpoint gives, StoredMatrix.input.
 */
export type ActivationForm =
	| "f32"
	| "block"
	| "k-block"
	| "token-asymmetric"
	| "token-symmetric"
	| "static";

/** The type that scales have in the file, and in memory; SHARED are f32 that are the same for each 16 rows. */
export type ScaleType = Precision | "SHARED";

/** Bytes of a matrix, row after row, as its packing kernel takes them. */
export interface Plane {
	readonly name: string;
	/** Element type as containers spell it; "blocks" where a row is a sequence of ggml blocks. */
	readonly type: string;
	readonly rowBytes: number;
	/**
	 * Rows [lo, hi), `rowBytes` each. With `into` they are written there and its first (hi − lo)·rowBytes bytes are returned.
	 * Rejects with CheckpointError where a scale is NaN or infinite.
	 */
	read(lo: number, hi: number, into?: Uint8Array): Promise<Uint8Array>;
}

/** A matrix [rows, cols] of a checkpoint, whatever it is made of there. Vectors have one row. */
export interface StoredMatrix {
	/** For people: "Q4_0", "torchao int4 g32", "compressed-tensors W4A16 g128", "BF16". */
	readonly scheme: string;
	readonly name: string;
	/** Logical shape: [rows, cols], or what the container says of a plain tensor. */
	readonly shape: readonly number[];
	readonly rows: number;
	readonly cols: number;
	/** Information per weight, scales included. */
	readonly bitsPerWeight: number;
	/** Stored bytes that carry information: all-zero zero points are left out, int4 codes count half a byte. */
	readonly bytes: number;
	readonly activation: ActivationForm;
	/** Where activation is "static": q = x / scale + zero, cut to −128 … 127 and rounded half to even. */
	readonly input?: { readonly scale: number; readonly zero: number };
	/** Columns per scale, 0 where there is none, `cols` where each row has one. */
	readonly block: number;
	/** In the order in which the packing kernel takes them. */
	readonly planes: readonly Plane[];
	/** What every decoded weight is rounded to: a bf16 model's scheme rounds code · scale to bf16. */
	readonly precision: Precision;
	/**
	 * What codes and scales are looked up in, where a file brings its own tables; those of the codes come first. Kernels find
	 * them behind the packed matrix.
	 */
	readonly tables?: Float32Array;
	/** Where kernels see other columns than the matrix has; the input has to be arranged like them. decode() is not affected. */
	readonly arrangement?: Arrangement;
	/** What kernels of the layout have to know beside sizes; absent where the layout's name says it all. */
	readonly format?: {
		/** Bits of a code. */
		readonly bits: number;
		/** Whether there are zero points. */
		readonly zeros: boolean;
		readonly scaleType: ScaleType;
	};
	/** Name of the layout in memory that keeps every bit, and of the kernel that writes it. */
	readonly layout: string;
	readonly pack: string;
	/** The stored tensors that the matrix is made of. */
	readonly tensors: readonly StoredTensor[];
	/** The definition: f32[hi − lo, cols], exact. Rejects with CheckpointError where a scale is NaN or infinite. */
	decode(lo: number, hi: number): Promise<Float32Array>;
}

/** A way of storing weights. Whatever the rest of the library asks about one is a property of what it finds. */
export interface Scheme {
	readonly name: string;
	/** The definition, for people: "w = (q − z) · s". */
	readonly formula: string;
	/**
	 * The matrix called `name`; undefined where this scheme does not store it. Reads only what is small: shapes, tables and
	 * zero points. Throws CheckpointError where its parts contradict each other, UnsupportedError for what cannot be read.
	 */
	find(checkpoint: Checkpoint, name: string): Promise<StoredMatrix | undefined>;
	/** The matrix that a stored tensor of that name is a part of; undefined where it is none of this scheme's. */
	owner(checkpoint: Checkpoint, tensor: string): string | undefined;
}

/** Asked in this order: a scheme that stores a matrix in several tensors comes before those that would take one of them for a matrix. */
export const schemes: readonly Scheme[] = [
	torchao,
	compressedTensors,
	bitsandbytes,
	ggml,
	plain,
	xnnpack,
	integerConstants,
];

/** Finding a matrix may read its zero points, so it is done once. */
const found = new WeakMap<
	Checkpoint,
	Map<string, Promise<StoredMatrix | undefined>>
>();

/** The matrix or vector called `name` (Hugging Face's name, "model.embed_tokens.weight"); undefined where the checkpoint has none. */
export function findMatrix(
	checkpoint: Checkpoint,
	name: string,
): Promise<StoredMatrix | undefined> {
	const known = found.get(checkpoint) ?? new Map();
	found.set(checkpoint, known);
	const matrix = known.get(name) ?? askSchemes(checkpoint, name);
	known.set(name, matrix);
	return matrix;
}

async function askSchemes(
	checkpoint: Checkpoint,
	name: string,
): Promise<StoredMatrix | undefined> {
	for (const scheme of schemes) {
		const matrix = await scheme.find(checkpoint, name);
		if (matrix !== undefined) return matrix;
	}
	const tensor = checkpoint.tensors.get(name);
	if (tensor === undefined) return undefined;
	throw new UnsupportedError(
		`${tensor.file}: ${name} is stored as ${tensor.type} [${tensor.shape}], which no scheme reads as weights`,
	);
}

/** Names of all matrices and vectors of a checkpoint, in the order of its tensors. */
export function matrixNames(checkpoint: Checkpoint): string[] {
	const names = new Set<string>();
	for (const tensor of checkpoint.tensors.keys()) {
		const owners = schemes.map((scheme) => scheme.owner(checkpoint, tensor));
		names.add(owners.find((owner) => owner !== undefined) ?? tensor);
	}
	return [...names];
}
