// The codes of a compressed-tensors matrix: packed into words, or one per byte.
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { int8 } from "./affine.ts";
import { codePlane } from "./code-plane.ts";
import type { WeightScheme } from "./compressed-tensors-config.ts";
import { widen } from "./floats.ts";
import { type Packing, unpack, wordsOf } from "./packed-codes.ts";
import {
	expectTensor,
	expectWeights,
	float8Plane,
	tensorPlane,
} from "./planes.ts";
import type { Plane } from "./scheme.ts";

/** The codes of a matrix and how they are stored. */
export interface Codes {
	readonly tensor: StoredTensor;
	readonly rows: number;
	readonly cols: number;
	readonly packing: Packing | undefined;
	/** Signed integers, or 8-bit floats, one per byte. */
	readonly plane: Plane;
	/** q of rows [lo, hi). */
	values(lo: number, hi: number): Promise<Int8Array | Float32Array>;
}

/** Codes in P.weight_packed. */
export async function packedCodes(
	{ tensors }: Checkpoint,
	name: string,
	tensor: StoredTensor,
	how: WeightScheme,
): Promise<Codes> {
	if (how.type !== "int" || tensor.type !== "I32") {
		throw new UnsupportedError(
			`${tensor.file}: ${tensor.name} holds ${tensor.type} words of ${how.type} codes, expected I32 words of int codes`,
		);
	}
	const shape = tensors.get(`${name}_shape`);
	if (shape === undefined) {
		throw new CheckpointError(`${tensor.file}: ${name}_shape is missing`);
	}
	expectTensor(shape, ["I64", "I32"], [2]);
	const [rows, cols] = (await integers(shape)) as [number, number];
	expectWeights(tensor, rows, cols);
	const packing = packingOf(tensor, rows, cols, how);
	const words = tensorPlane("codes", tensor, rows);
	const values = async (lo: number, hi: number) => {
		const bytes = await words.read(lo, hi);
		const codes = new Int8Array((hi - lo) * cols);
		for (let row = 0; row < hi - lo; row++) {
			unpack(
				packing,
				bytes.subarray(row * words.rowBytes, (row + 1) * words.rowBytes),
				codes.subarray(row * cols, (row + 1) * cols),
			);
		}
		return codes;
	};
	const plane =
		packing.bits === 8 && cols % 4 === 0
			? signed(words)
			: unpacked(words, cols, values);
	return { tensor, rows, cols, packing, plane, values };
}

/** Dense or loose packing, by the words per row; where both take as many, by the version that wrote the file. */
function packingOf(
	tensor: StoredTensor,
	rows: number,
	cols: number,
	{ bits, version }: WeightScheme,
): Packing {
	const dense = { bits, dense: true };
	const loose = { bits, dense: 32 % bits === 0 };
	const fitting = [dense, loose].filter(
		(packing) =>
			String([rows, wordsOf(packing, cols)]) === String(tensor.shape),
	);
	if (fitting.length === 0) {
		throw new CheckpointError(
			`${tensor.file}: ${tensor.name} is [${tensor.shape}], expected [${rows}, ${wordsOf(dense, cols)}] words for ${cols} columns of ${bits} bits`,
		);
	}
	const old =
		version === undefined || /^0\.(?:\d|1[0-2])(?:\.|$)/.test(version);
	return fitting.length === 2 && old ? loose : fitting[0]!;
}

/** Codes, or fp8 values, one per byte in P.weight. */
export function wholeCodes(tensor: StoredTensor, how: WeightScheme): Codes {
	const [rows = 0, cols = 0] = tensor.shape;
	const type = how.type === "int" ? "I8" : "F8_E4M3";
	expectTensor(tensor, [type], [rows, cols]);
	expectWeights(tensor, rows, cols);
	const about = { tensor, rows, cols, packing: undefined };
	if (how.type === "float") {
		const stored = tensorPlane("codes", tensor, rows);
		return {
			...about,
			plane: float8Plane("codes", tensor, rows),
			values: async (lo, hi) => widen(type, await stored.read(lo, hi)),
		};
	}
	const plane = codePlane(tensor, rows, how.bits);
	return {
		...about,
		plane,
		values: async (lo, hi) => int8(await plane.read(lo, hi)),
	};
}

/** The words of 4-bit codes, as a packing kernel takes them; undefined for other codes. */
export function packedPlane(codes: Codes): Plane | undefined {
	const { tensor, rows, packing } = codes;
	return packing?.bits === 4 ? tensorPlane("codes", tensor, rows) : undefined;
}

/** Codes one per byte, as `values` takes them out of their words. */
function unpacked(words: Plane, cols: number, values: Codes["values"]): Plane {
	return {
		...words,
		type: "I8",
		rowBytes: cols,
		async read(lo, hi, into = new Uint8Array((hi - lo) * cols)) {
			const target = into.subarray(0, (hi - lo) * cols);
			target.set(await values(lo, hi));
			return target;
		},
	};
}

/** Bytes q + 128 as bytes q. */
function signed(plane: Plane): Plane {
	return {
		...plane,
		type: "I8",
		async read(lo, hi, into) {
			const bytes = await plane.read(lo, hi, into);
			for (let i = 0; i < bytes.length; i++) bytes[i]! ^= 128;
			return bytes;
		},
	};
}

async function integers(tensor: StoredTensor): Promise<number[]> {
	const bytes = await tensor.read();
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const size = tensor.type === "I64" ? 8 : 4;
	return Array.from({ length: bytes.length / size }, (_, i) =>
		size === 8
			? Number(view.getBigInt64(8 * i, true))
			: view.getInt32(4 * i, true),
	);
}
