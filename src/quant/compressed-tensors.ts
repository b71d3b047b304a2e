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
//   P.input_scale, …     where inputs are quantized with one scale for all tokens: compressed-tensors-input.ts
//
//   w = T((q − z) · s)        Bits per weight: 4.125 (W4A16 g128, bf16 scales), 8 + 16/K (per channel)
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { affineDecoder, blockLabel, int8 } from "./affine.ts";
import { affinePlanes } from "./affine-planes.ts";
import {
	type Codes,
	packedCodes,
	packedPlane,
	wholeCodes,
} from "./compressed-tensors-codes.ts";
import {
	type WeightScheme,
	weightScheme,
} from "./compressed-tensors-config.ts";
import { staticInput } from "./compressed-tensors-input.ts";
import { type ScaleGrid, scaleGrid } from "./compressed-tensors-scales.ts";
import { widen } from "./floats.ts";
import { groupIndex } from "./group-index.ts";
import { type Packing, unpack, wordsOf } from "./packed-codes.ts";
import { expectTensor } from "./planes.ts";
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
		const found = await matrix(checkpoint, name, codes, scale, how);
		if (how.activation !== "static") return found;
		const { input, tensors: own } = await staticInput(checkpoint, module);
		return { ...found, input, tensors: [...found.tensors, ...own] };
	},
	owner({ tensors }, tensor) {
		const module = INPUT_SUFFIXES.exec(tensor)?.[1];
		const name = SUFFIXES.exec(tensor)?.[1] ?? (module && `${module}.weight`);
		return name && tensors.has(`${name}_scale`) ? name : undefined;
	},
};

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
	const { groups, block } = grid;
	const zeroPlane = zeros && memoryPlane("zeros", zeros, rows);
	const kind = float ? "FP8" : `W${bits}A${activationBits}`;
	return {
		scheme: `compressed-tensors ${kind} ${blockLabel(block, cols)}`,
		name,
		shape: [rows, cols],
		rows,
		cols,
		bitsPerWeight: (8 * bytes) / (rows * cols),
		bytes,
		activation: how.activation,
		block,
		precision: grid.precision,
		...affinePlanes({
			codes: codes.plane,
			packed: packedPlane(codes),
			scales: grid.plane,
			sharesScales: grid.isShared,
			zeros: zeroPlane,
			bits,
			cols,
			block,
			order,
			tensor,
		}),
		tensors: stored,
		decode: affineDecoder({
			cols,
			groups,
			precision: grid.precision,
			codes: codes.values,
			scales: async (lo, hi) =>
				widen(scale.type, await grid.plane.read(lo, hi)),
			...(zeros && {
				zeros: async (lo: number, hi: number) =>
					zeros.subarray(lo * groups, hi * groups),
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
