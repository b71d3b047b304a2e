// bitsandbytes checkpoints: NF4 and FP4 in bitsandbytes-4bit.ts, and LLM.int8 here.
//
//   P.weight         I8  [N, K]
//   P.SCB            F32 [N]      largest magnitude of each row
//   P.weight_format  U8  []       0: rows as they are
//
//   w = q · (SCB / 127)        Bits per weight: 8 + 32/K
//
// LLM.int8 quantizes the input too, except for columns with outliers. Here the input stays f32, which is closer to the
// unquantized model than either half of that.
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { affineDecoder, affineLayout, int8 } from "./affine.ts";
import {
	fourBitMatrix,
	fourBitOwner,
	fourBitState,
} from "./bitsandbytes-4bit.ts";
import { widen } from "./floats.ts";
import {
	expectTensor,
	expectWeights,
	scalePlane,
	tensorPlane,
} from "./planes.ts";
import type { Plane, Scheme, StoredMatrix } from "./scheme.ts";

export const bitsandbytes: Scheme = {
	name: "bitsandbytes",
	formula: "w = code[u] · absmax, or q · SCB / 127",
	async find(checkpoint, name) {
		const state = fourBitState(checkpoint, name);
		if (state) return fourBitMatrix(checkpoint, name, state);
		if (!name.endsWith(".weight")) return undefined;
		const scale = checkpoint.tensors.get(name.replace(/weight$/, "SCB"));
		return scale && int8Matrix(checkpoint, name, scale);
	},
	owner({ tensors }, tensor) {
		const module = /^(.+\.)(?:SCB|weight_format)$/.exec(tensor)?.[1];
		if (module && tensors.has(`${module}SCB`)) return `${module}weight`;
		return fourBitOwner(tensors, tensor);
	},
};

async function int8Matrix(
	{ tensors }: Checkpoint,
	name: string,
	scale: StoredTensor,
): Promise<StoredMatrix> {
	const codes = tensors.get(name);
	if (codes === undefined) {
		throw new CheckpointError(
			`${scale.file}: ${scale.name} is there, ${name} not`,
		);
	}
	const [rows = 0, cols = 0] = codes.shape;
	expectTensor(codes, ["I8"], [rows, cols]);
	expectWeights(codes, rows, cols);
	expectTensor(scale, ["F32"], [rows]);
	const format = tensors.get(`${name}_format`);
	if (format) {
		expectTensor(format, ["U8"], [], [1]);
		const [order] = await format.read();
		if (order !== 0) {
			throw new UnsupportedError(
				`${format.file}: ${format.name} is ${order}, expected 0: rows as they are`,
			);
		}
	}
	const scales = dividedPlane(scalePlane("scales", scale, rows));
	const bytes = codes.bytes + scale.bytes;
	const plane = tensorPlane("codes", codes, rows);
	return {
		scheme: "bitsandbytes int8",
		name,
		shape: [rows, cols],
		rows,
		cols,
		bitsPerWeight: (8 * bytes) / (rows * cols),
		bytes,
		activation: "f32",
		block: cols,
		planes: [plane, scales],
		precision: "F32",
		...affineLayout({
			bits: 8,
			block: cols,
			cols,
			scaleType: scale.type,
			zeros: false,
			codes: "i8",
		}),
		tensors: [codes, scale, ...(format ? [format] : [])],
		decode: affineDecoder({
			cols,
			groups: 1,
			precision: "F32",
			codes: async (lo, hi) => int8(await plane.read(lo, hi)),
			scales: async (lo, hi) => widen("F32", await scales.read(lo, hi)),
		}),
	};
}

/** SCB / 127, the scale of a row. */
function dividedPlane(plane: Plane): Plane {
	return {
		...plane,
		async read(lo, hi, into) {
			const bytes = await plane.read(lo, hi, into);
			const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
			for (let at = 0; at < bytes.length; at += 4) {
				view.setFloat32(at, view.getFloat32(at, true) / 127, true);
			}
			return bytes;
		},
	};
}
