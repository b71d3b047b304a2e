// compressed-tensors checkpoints (llm-compressor): the tensors of a linear layer [N, K] whose weight is called "P.weight".
//
//   pack-quantized    P.weight_packed  I32 [N, words]    codes of 1 to 8 bits, packed-codes.ts has the bit diagram
//                     P.weight_shape   I64 [2]           N, K
//   int-quantized     P.weight         I8  [N, K]        also "naive-quantized"
//   float-quantized   P.weight         F8_E4M3 [N, K]
//
//   P.weight_scale       T [N, K/g] | [N, 1] | [1] | one per tile      T is the precision of the arithmetic
//   P.weight_zero_point  only where asymmetric; packed: I32 [words of N, K/g], packed down the columns
//   P.weight_g_idx       I32 [K], the group of each column, where GPTQ reordered them
//
//   w = T((q − z) · s)        Bits per weight: 4.125 (W4A16 g128, bf16 scales), 8 + 16/K (per channel)
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import {
	affineDecoder,
	affineLayout,
	blockLabel,
	checkRange,
	int8,
} from "./affine.ts";
import {
	type WeightScheme,
	weightScheme,
} from "./compressed-tensors-config.ts";
import { type ScaleGrid, scaleGrid } from "./compressed-tensors-scales.ts";
import { widen } from "./floats.ts";
import { type GroupIndex, groupIndex } from "./group-index.ts";
import { type Packing, pack, unpack, wordsOf } from "./packed-codes.ts";
import { expectTensor, expectWeights, tensorPlane } from "./planes.ts";
import type { Plane, Scheme, StoredMatrix } from "./scheme.ts";

const SUFFIXES =
	/^(.+\.weight)_(?:packed|shape|scale|zero_point|g_idx|global_scale)$/;
const INPUT_SUFFIXES = /^(.+)\.input_(?:scale|zero_point|global_scale)$/;

export const compressedTensors: Scheme = {
	name: "compressed-tensors",
	formula: "w = (q − z) · s",
	async find(checkpoint, name) {
		const { tensors, config } = checkpoint;
		const packed = tensors.get(`${name}_packed`);
		const scale = tensors.get(`${name}_scale`);
		const whole = tensors.get(name);
		const any = packed ?? scale;
		if (any === undefined || !name.endsWith(".weight")) return undefined;
		const where = `${any.file}: ${name}`;
		if (scale === undefined || (packed ?? whole) === undefined) {
			const missing = scale ? "weight_packed and weight" : "weight_scale";
			throw new CheckpointError(
				`${where}: ${any.name} is there, ${missing} not`,
			);
		}
		if (packed && whole) {
			throw new CheckpointError(
				`${where}: both ${whole.name} and ${packed.name} are there`,
			);
		}
		const module = name.slice(0, -".weight".length);
		const how = weightScheme(config, module, any.file);
		const codes = packed
			? await packedCodes(checkpoint, name, packed, how)
			: wholeCodes(whole!, how);
		return matrix(checkpoint, name, codes, scale, how);
	},
	owner({ tensors }, tensor) {
		const module = INPUT_SUFFIXES.exec(tensor)?.[1];
		const name = SUFFIXES.exec(tensor)?.[1] ?? (module && `${module}.weight`);
		return name && tensors.has(`${name}_scale`) ? name : undefined;
	},
};

/** The codes of a matrix and how they are stored. */
interface Codes {
	readonly tensor: StoredTensor;
	readonly rows: number;
	readonly cols: number;
	readonly packing: Packing | undefined;
	/** q of rows [lo, hi). */
	values(lo: number, hi: number): Promise<Int8Array | Float32Array>;
}

async function packedCodes(
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
	return {
		tensor,
		rows,
		cols,
		packing,
		async values(lo, hi) {
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
		},
	};
}

/** Dense or loose packing, by the words per row; where both take as many, by the version that wrote the file. */
function packingOf(
	tensor: StoredTensor,
	rows: number,
	cols: number,
	{ bits, version }: WeightScheme,
): Packing {
	const dense = { bits, dense: true };
	const loose = { bits, dense: false };
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

function wholeCodes(tensor: StoredTensor, how: WeightScheme): Codes {
	const [rows = 0, cols = 0] = tensor.shape;
	const type = how.type === "int" ? "I8" : "F8_E4M3";
	expectTensor(tensor, [type], [rows, cols]);
	expectWeights(tensor, rows, cols);
	const plane = tensorPlane("codes", tensor, rows);
	return {
		tensor,
		rows,
		cols,
		packing: undefined,
		async values(lo, hi) {
			const bytes = await plane.read(lo, hi);
			if (how.type === "float") return widen(type, bytes);
			checkRange(int8(bytes), how.bits, tensor);
			return int8(bytes);
		},
	};
}

async function matrix(
	{ tensors }: Checkpoint,
	name: string,
	codes: Codes,
	scale: StoredTensor,
	how: WeightScheme,
): Promise<StoredMatrix> {
	const { tensor, rows, cols } = codes;
	const grid = scaleGrid(scale, rows, cols, how);
	const zeroPoint = tensors.get(`${name}_zero_point`);
	const zeros = await zeroPoints(
		zeroPoint,
		rows,
		grid,
		codes.packing,
		how,
		name,
	);
	const index = tensors.get(`${name}_g_idx`);
	const order = index && (await groupIndex(index, cols, grid.groups));
	const groupOf = order?.groupOf ?? grid.groupOf;
	const stored = [tensor, scale, zeroPoint, index].filter(
		(t) => t !== undefined,
	);
	const bytes = stored.reduce((sum, { bytes }) => sum + bytes, 0);
	const { bits, activationBits } = how;
	const float = how.type === "float";
	const layout = float
		? "f8e4m3sw"
		: affineLayout(bits, grid.block, cols, zeros !== undefined, scale.type);
	const kind = float ? "FP8" : `W${bits}A${activationBits}`;
	return {
		scheme: `compressed-tensors ${kind} ${blockLabel(grid.block, cols)}`,
		name,
		shape: [rows, cols],
		rows,
		cols,
		bitsPerWeight: (8 * bytes) / (rows * cols),
		bytes,
		activation: how.activation,
		block: grid.block,
		planes: [
			codePlane(codes, order),
			grid.plane,
			...(zeros ? [memoryPlane("zeros", zeros, rows)] : []),
		],
		precision: grid.precision,
		...(order && { columns: order.columns }),
		layout,
		pack: `pack_${layout}_${codes.packing ? "packed" : "i8"}`,
		tensors: stored,
		decode: affineDecoder({
			cols,
			groups: grid.groups,
			precision: grid.precision,
			codes: codes.values,
			scales: async (lo, hi) =>
				widen(scale.type, await grid.plane.read(lo, hi)),
			...(zeros && {
				zeros: async (lo: number, hi: number) =>
					zeros.subarray(lo * grid.groups, hi * grid.groups),
			}),
			...(groupOf && { groupOf }),
		}),
	};
}

/** i8[rows, groups]; undefined where all are zero. */
async function zeroPoints(
	tensor: StoredTensor | undefined,
	rows: number,
	{ groups, shapes }: ScaleGrid,
	packing: Packing | undefined,
	how: WeightScheme,
	name: string,
): Promise<Int8Array | undefined> {
	if (tensor === undefined) {
		if (how.symmetric) return undefined;
		throw new CheckpointError(
			`${name}: the configuration says asymmetric, but ${name}_zero_point is missing`,
		);
	}
	let zeros: Int8Array;
	if (packing) {
		const words = wordsOf(packing, rows);
		expectTensor(tensor, ["I32"], [words, groups]);
		const bytes = await tensor.read();
		zeros = new Int8Array(rows * groups);
		const column = new Uint8Array(4 * words);
		const codes = new Int8Array(rows);
		for (let group = 0; group < groups; group++) {
			for (let i = 0; i < column.length; i++) {
				column[i] = bytes[4 * ((i >> 2) * groups + group) + (i & 3)]!;
			}
			unpack(packing, column, codes);
			for (let row = 0; row < rows; row++) {
				zeros[row * groups + group] = codes[row]!;
			}
		}
	} else {
		expectTensor(tensor, ["I8"], ...shapes);
		zeros = int8(await tensor.read());
		if (zeros.length === 1) zeros = new Int8Array(rows).fill(zeros[0]!);
		if (zeros.length !== rows * groups) {
			throw new UnsupportedError(
				`${tensor.file}: ${tensor.name} is [${tensor.shape}], zero points by tile are not read`,
			);
		}
	}
	const used = zeros.some((zero) => zero !== 0);
	if (used && how.symmetric) {
		throw new CheckpointError(
			`${tensor.file}: the configuration says symmetric, but ${tensor.name} is not zero`,
		);
	}
	return used ? zeros : undefined;
}

/** The codes as the packing kernel takes them: packed ones densely, columns in the order of their groups. */
function codePlane(codes: Codes, order: GroupIndex | undefined): Plane {
	const { tensor, rows, cols, packing } = codes;
	const stored = tensorPlane("codes", tensor, rows);
	if (!order && (packing === undefined || packing.dense)) return stored;
	const dense = packing && { bits: packing.bits, dense: true };
	const rowBytes = dense ? 4 * wordsOf(dense, cols) : cols;
	return {
		...stored,
		rowBytes,
		async read(lo, hi, into = new Uint8Array((hi - lo) * rowBytes)) {
			const target = into.subarray(0, (hi - lo) * rowBytes).fill(0);
			const values = await codes.values(lo, hi);
			for (let row = 0; row < hi - lo; row++) {
				const own = values.subarray(row * cols, (row + 1) * cols);
				const ordered = order ? order.columns.map((c) => own[c]!) : own;
				const bytes = target.subarray(row * rowBytes, (row + 1) * rowBytes);
				if (dense) pack(dense, ordered, bytes);
				else bytes.set(ordered);
			}
			return target;
		},
	};
}

function memoryPlane(name: string, values: Int8Array, rows: number): Plane {
	const rowBytes = values.length / rows;
	return {
		name,
		type: "I8",
		rowBytes,
		async read(lo, hi, into) {
			const bytes = new Uint8Array(
				values.subarray(lo * rowBytes, hi * rowBytes),
			);
			into?.set(bytes);
			return into?.subarray(0, bytes.length) ?? bytes;
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
