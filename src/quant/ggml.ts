// The block types of GGUF files. Each row of a matrix is a whole number of blocks; ggml-legacy.ts, ggml-k.ts and
// ggml-table.ts have the diagrams and formulas.
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { f16 } from "./floats.ts";
import type { BlockType } from "./ggml-block.ts";
import { kTypes } from "./ggml-k.ts";
import { legacyTypes } from "./ggml-legacy.ts";
import { tableTypes } from "./ggml-table.ts";
import { notFinite, tensorPlane } from "./planes.ts";
import type { Plane, Scheme, StoredMatrix } from "./scheme.ts";

const types = new Map(
	[...legacyTypes, ...kTypes, ...tableTypes].map((type) => [type.name, type]),
);
/** Names of block types: of those that are not read, most need lattices of thousands of points. */
const BLOCK_TYPE = /^(?:I?Q|TQ|NVFP|MXFP)\d/;

export const ggml: Scheme = {
	name: "ggml",
	formula: "w = d · u − m, by block",
	async find({ tensors }, name) {
		const tensor = tensors.get(name);
		if (tensor === undefined) return undefined;
		const type = types.get(tensor.type);
		if (type !== undefined) return blockMatrix(tensor, type);
		if (BLOCK_TYPE.test(tensor.type)) {
			throw new UnsupportedError(
				`${tensor.file}: ${name} is of type ${tensor.type}, which is not read; what is read: ${[...types.keys()].join(", ")}`,
			);
		}
		return undefined;
	},
	owner: () => undefined,
};

function blockMatrix(tensor: StoredTensor, type: BlockType): StoredMatrix {
	const { name, file, shape, bytes } = tensor;
	const cols = shape.at(-1) ?? 1;
	const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
	const rowBytes = (cols / type.cols) * type.bytes;
	if (cols === 0 || cols % type.cols !== 0 || rows * rowBytes !== bytes) {
		throw new CheckpointError(
			`${file}: ${name} is ${type.name} [${shape}] in ${bytes} bytes, expected rows of a multiple of ${type.cols} columns, ${type.bytes} bytes each`,
		);
	}
	const stored = tensorPlane("blocks", tensor, rows);
	const blocks: Plane = {
		...stored,
		type: "blocks",
		async read(lo, hi, into) {
			const data = await stored.read(lo, hi, into);
			checkScales(data, type, lo * rowBytes, tensor);
			return data;
		},
	};
	return {
		scheme: type.name,
		name,
		shape,
		rows,
		cols,
		bitsPerWeight: (8 * type.bytes) / type.cols,
		bytes,
		activation: type.activation,
		block: type.block,
		planes: [blocks],
		precision: "F32",
		layout: type.layout,
		pack: `pack_${type.layout}_${type.name.toLowerCase()}`,
		tensors: [tensor],
		async decode(lo, hi) {
			const data = await blocks.read(lo, hi);
			const view = new DataView(data.buffer, data.byteOffset, data.length);
			const out = new Float32Array((hi - lo) * cols);
			for (let i = 0; i * type.bytes < data.length; i++) {
				type.decode(view, i * type.bytes, out, i * type.cols);
			}
			return out;
		},
	};
}

function checkScales(
	data: Uint8Array,
	type: BlockType,
	start: number,
	{ file, name }: StoredTensor,
) {
	let at = -1;
	if (type.scales !== "e8m0") {
		at = notFinite("F16", data, type.bytes, type.scales);
	} else {
		for (let i = 0; i < data.length && at < 0; i += type.bytes) {
			if (data[i] === 255) at = i;
		}
	}
	if (at < 0) return;
	const bits = data[at]! | (data[at + 1]! << 8);
	const value = type.scales === "e8m0" ? Number.NaN : f16(bits);
	throw new CheckpointError(
		`${file}: a scale of ${name} at byte ${start + at} is ${value}, expected a finite ${type.name} scale`,
	);
}
