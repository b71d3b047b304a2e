// torchao's integer tensors (pytorch/ao 0.12 and later): AffineQuantizedTensor, IntxUnpackedToInt8Tensor and Int8Tensor,
// in torch archives (which formats/torch-quantized.ts takes apart) and in torchao's safetensors form.
//
//   qdata       I8 [N, K]      one code per byte, also where codes have 4 bits
//   scale       T  [N, K/g]    or [N] where g = K
//   zero_point  I8 [N, K/g]    all zero in symmetric schemes, and then dropped here
//
//   w = T((q − z) · s), T the tensor's dtype.    Bits per weight: 4 + 16/g (int4, bf16 scales), 8 + 32/K (int8 per row)
//
// Parts of "a.weight" are called "a._weight_qdata" since 0.15 and "a.weight:qdata" in 0.14, where plain tensors are
// called "a.weight:_data". The container's metadata says of "a.weight" {"_type": class, "_data": attributes}.
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { affineDecoder, blockLabel, int8 } from "./affine.ts";
import { affinePlanes } from "./affine-planes.ts";
import { codePlane } from "./code-plane.ts";
import { type Precision, widen } from "./floats.ts";
import { plainMatrix } from "./plain.ts";
import {
	expectTensor,
	expectWeights,
	isZero,
	SCALE_TYPES,
	scalePlane,
	tensorPlane,
} from "./planes.ts";
import type { ActivationForm, Scheme, StoredMatrix } from "./scheme.ts";

const PRECISIONS: ReadonlyMap<string, Precision> = new Map([
	["float32", "F32"],
	["float16", "F16"],
	["bfloat16", "BF16"],
]);
const ACTIVATIONS: ReadonlyMap<string, ActivationForm> = new Map([
	["int8_asym_per_token", "token-asymmetric"],
	["int8_sym_per_token", "token-symmetric"],
]);
const PARTS = ["qdata", "scale", "zero_point"] as const;
/** Parts by which a layer's input is scaled, or quantized with what was found before: nothing computes with them. */
const INPUT_PARTS = [
	"act_quant_scale",
	"act_quant_zero_point",
	"act_pre_scale",
] as const;
type Part = (typeof PARTS)[number] | (typeof INPUT_PARTS)[number];
/** What 0.14 puts after the colon. */
const OLD_PARTS: ReadonlySet<string> = new Set([
	...PARTS,
	...INPUT_PARTS,
	"_data",
]);

export const torchao: Scheme = {
	name: "torchao",
	formula: "w = (q − z) · s",
	async find(checkpoint, name) {
		const description = describe(checkpoint, name);
		if (description === undefined) {
			const codes = partOf(checkpoint, name, "qdata");
			if (codes === undefined) return undefined;
			throw new CheckpointError(
				`${codes.file}: ${codes.name} is a part of ${name}, which the metadata does not describe`,
			);
		}
		if (description.type === "Tensor") {
			const tensor = checkpoint.tensors.get(`${name}:_data`);
			return tensor && plainMatrix(tensor, name);
		}
		return quantizedMatrix(checkpoint, name, description);
	},
	owner(checkpoint, tensor) {
		const colon = tensor.lastIndexOf(":");
		const owned =
			colon >= 0 && OLD_PARTS.has(tensor.slice(colon + 1))
				? tensor.slice(0, colon)
				: withoutPart(tensor);
		return owned !== undefined && describe(checkpoint, owned)
			? owned
			: undefined;
	},
};

/** "a.b._weight_qdata" → "a.b.weight" */
function withoutPart(tensor: string): string | undefined {
	const part = [...INPUT_PARTS, ...PARTS].find((part) =>
		tensor.endsWith(`_${part}`),
	);
	if (part === undefined) return undefined;
	const stem = tensor.slice(0, -part.length - 1);
	const dot = stem.lastIndexOf(".") + 1;
	return stem[dot] === "_"
		? stem.slice(0, dot) + stem.slice(dot + 1)
		: undefined;
}

interface Description {
	readonly type: string;
	readonly data: Readonly<Record<string, unknown>>;
}

/** What the metadata says of a tensor: JSON in safetensors files, an object from torch archives. */
function describe(
	checkpoint: Checkpoint,
	name: string,
): Description | undefined {
	const { metadata } = checkpoint;
	let value = Object.hasOwn(metadata, name) ? metadata[name] : undefined;
	if (typeof value === "string" && value.startsWith('{"_type"')) {
		try {
			value = JSON.parse(value);
		} catch (cause) {
			throw new CheckpointError(
				`${checkpoint.name}: the metadata of ${name} is not valid JSON`,
				{ cause },
			);
		}
	}
	if (!isRecord(value) || typeof value._type !== "string") return undefined;
	return { type: value._type, data: isRecord(value._data) ? value._data : {} };
}

function partOf(
	{ tensors }: Checkpoint,
	name: string,
	part: Part,
): StoredTensor | undefined {
	const dot = name.lastIndexOf(".") + 1;
	return (
		tensors.get(`${name.slice(0, dot)}_${name.slice(dot)}_${part}`) ??
		tensors.get(`${name}:${part}`)
	);
}

async function quantizedMatrix(
	checkpoint: Checkpoint,
	name: string,
	{ type, data }: Description,
): Promise<StoredMatrix> {
	const where = `${checkpoint.name}: ${name}`;
	const bits = bitsOf(type, data, where);
	checkInput(checkpoint, name, { type, data });
	const [codes, scale, zeroPoint] = PARTS.map((part) =>
		partOf(checkpoint, name, part),
	);
	if (codes === undefined || scale === undefined) {
		throw new CheckpointError(
			`${where}: described as ${type}, but its ${codes ? "scale" : "qdata"} is missing`,
		);
	}
	if (checkpoint.tensors.has(name)) {
		throw new CheckpointError(
			`${where}: described as ${type}, but there is also a plain tensor of that name`,
		);
	}
	const [rows, cols] = codes.shape as [number, number];
	expectTensor(codes, ["I8"], [rows, cols]);
	expectWeights(codes, rows, cols);
	const block = blockOf(data.block_size, rows, cols, where);
	const groups = cols / block;
	const shapes = [[rows, groups], ...(groups === 1 ? [[rows]] : [])];
	expectTensor(scale, SCALE_TYPES, ...shapes);
	if (zeroPoint) expectTensor(zeroPoint, ["I8", "I32", "I64"], ...shapes);
	const zeros = zeroPoint && !(await isZero(zeroPoint)) ? zeroPoint : undefined;
	if (zeros && zeros.type !== "I8") {
		throw new UnsupportedError(
			`${zeros.file}: ${zeros.name} holds ${zeros.type} zero points, expected I8`,
		);
	}
	const plane = codePlane(codes, rows, bits);
	const scales = scalePlane("scales", scale, rows);
	const zeroPlane = zeros && tensorPlane("zeros", zeros, rows);
	const precision = precisionOf(data.dtype, where);
	const dense = Math.ceil((rows * cols * bits) / 8);
	const bytes = dense + scale.bytes + (zeros?.bytes ?? 0);
	return {
		scheme: `torchao int${bits} ${blockLabel(block, cols)}`,
		name,
		shape: [rows, cols],
		rows,
		cols,
		bitsPerWeight: (8 * bytes) / (rows * cols),
		bytes,
		activation: activationOf(data.activation_quantization, where),
		block,
		precision,
		...affinePlanes({
			codes: plane,
			scales,
			zeros: zeroPlane,
			bits,
			cols,
			block,
			tensor: codes,
		}),
		tensors: [codes, scale, ...(zeroPoint ? [zeroPoint] : [])],
		decode: affineDecoder({
			cols,
			groups,
			precision,
			codes: async (lo, hi) => int8(await plane.read(lo, hi)),
			scales: async (lo, hi) => widen(scale.type, await scales.read(lo, hi)),
			...(zeroPlane && {
				zeros: async (lo, hi) => int8(await zeroPlane.read(lo, hi)),
			}),
		}),
	};
}

/** Throws UnsupportedError where the input is to be changed in a way that `activation_quantization` does not say. */
function checkInput(
	checkpoint: Checkpoint,
	name: string,
	{ type, data }: Description,
): void {
	const attribute = Object.keys(data).find(
		(key) =>
			key.startsWith("act_") && data[key] !== null && data[key] !== undefined,
	);
	const part = INPUT_PARTS.find((part) => partOf(checkpoint, name, part));
	if (attribute ?? part)
		throw new UnsupportedError(
			`${checkpoint.name}: ${name} is stored as ${type} with ${attribute ?? part}; inputs can be floats, or quantized per token as activation_quantization says`,
		);
}

/** Bits of the codes. */
function bitsOf(
	type: string,
	data: Description["data"],
	where: string,
): number {
	switch (type) {
		case "IntxUnpackedToInt8Tensor": {
			const target = isRecord(data.target_dtype) && data.target_dtype._data;
			const bits = Number(/^(?:torch\.)?int([1-8])$/.exec(String(target))?.[1]);
			if (Number.isNaN(bits)) {
				throw new UnsupportedError(
					`${where}: codes of type ${String(target)}, expected int1 to int8`,
				);
			}
			return bits;
		}
		case "AffineQuantizedTensor": {
			if ((data.zero_point_domain ?? "INT") === "FLOAT") {
				throw new UnsupportedError(
					`${where}: zero points that are no integers`,
				);
			}
			const max = data.quant_max ?? 127;
			const min = data.quant_min ?? -128;
			const bits = Math.log2(Number(max) + 1) + 1;
			if (
				![1, 2, 3, 4, 5, 6, 7, 8].includes(bits) ||
				min !== -Number(max) - 1
			) {
				throw new UnsupportedError(
					`${where}: codes from ${String(min)} to ${String(max)}, expected a signed range of 1 to 8 bits`,
				);
			}
			return bits;
		}
		case "Int8Tensor":
			return 8;
		default:
			throw new UnsupportedError(
				`${where}: stored as torchao's ${type}; what can be read are AffineQuantizedTensor, IntxUnpackedToInt8Tensor and Int8Tensor`,
			);
	}
}

/** Columns per scale. */
function blockOf(
	value: unknown,
	rows: number,
	cols: number,
	where: string,
): number {
	const [high, wide] = Array.isArray(value) && value.length === 2 ? value : [];
	if (high !== 1 && !(high === rows && rows === 1)) {
		throw new UnsupportedError(
			`${where}: block_size [${String(value)}], expected [1, columns per scale]`,
		);
	}
	if (!Number.isInteger(wide) || wide < 1 || cols % wide !== 0) {
		throw new CheckpointError(
			`${where}: block_size [${String(value)}] does not divide ${cols} columns`,
		);
	}
	return wide;
}

function precisionOf(value: unknown, where: string): Precision {
	const name = isRecord(value) ? String(value._data) : String(value);
	const precision = PRECISIONS.get(name.replace(/^torch\./, ""));
	if (precision === undefined) {
		throw new CheckpointError(`${where}: a quantized tensor of dtype ${name}`);
	}
	return precision;
}

function activationOf(value: unknown, where: string): ActivationForm {
	if (value === null || value === undefined) return "f32";
	const name = isRecord(value) ? value._data : value;
	const form = ACTIVATIONS.get(String(name));
	if (form === undefined) {
		throw new UnsupportedError(
			`${where}: activation quantization ${JSON.stringify(name)}, expected ${[...ACTIVATIONS.keys()].join(" or ")}`,
		);
	}
	return form;
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
