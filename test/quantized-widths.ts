// The embedded model in codes of any width and in floats of 8 bits, written as torchao and llm-compressor store them.
import {
	bytesOf,
	type Matrix,
	nanoWeights,
	plainTensors,
	withConfig,
} from "./quantized-nano.ts";
import {
	compressedTensorsAsymmetric,
	compressedTensorsSymmetric,
	torchaoSymmetric,
} from "./quantizers.ts";
import { type Float8, float8 } from "./quantizers-float8.ts";
import { floatToBrain, floatToHalf } from "./reference/half.ts";
import { type WriteTensor, writeSafetensors } from "./write-safetensors.ts";

type Files = Record<string, Uint8Array>;
type Tensors = Record<string, WriteTensor>;

const EMBEDDING = "model.embed_tokens.weight";

/** A quantized matrix. */
interface Codes {
	readonly bits: number;
	readonly block: number;
	readonly shape: readonly [number, number];
	readonly codes: Int8Array;
	readonly scales: Float32Array;
	readonly zeros?: Int8Array;
}

export interface Width {
	readonly bits: number;
	/** Columns per scale; absent where each row has one. */
	readonly group?: number;
	readonly asymmetric?: boolean;
	/** Whether inputs are quantized to int8. */
	readonly dynamic?: boolean;
	/** Whether an index says the group of each column. */
	readonly reordered?: boolean;
	/** The type of scales. @default "F32" */
	readonly scales?: ScaleType;
}

type ScaleType = "F32" | "F16" | "BF16";

/** The weights that no scheme quantizes, and those of linear layers as `quantize` stores each. */
async function tensorsOf(
	quantize: (name: string, shape: [number, number], w: Float32Array) => Tensors,
	embedding = false,
): Promise<Tensors> {
	const plain = new Map<string, Matrix>();
	let tensors: Tensors = {};
	for (const [name, matrix] of await nanoWeights()) {
		const { shape, values } = matrix;
		if (shape.length < 2 || (name === EMBEDDING && !embedding))
			plain.set(name, matrix);
		else
			tensors = {
				...tensors,
				...quantize(name, shape as [number, number], values),
			};
	}
	return { ...plainTensors(plain), ...tensors };
}

function quantizeTo(
	{ bits, group, asymmetric }: Width,
	shape: readonly [number, number],
	w: Float32Array,
): Codes {
	const block = group ?? shape[1];
	const quantized = asymmetric
		? compressedTensorsAsymmetric(w, bits, block)
		: compressedTensorsSymmetric(w, bits, block);
	return { ...quantized, bits, shape };
}

/** Some order of `cols` columns, the same for all matrices of that many. */
const orderOf = (cols: number): number[] =>
	Array.from({ length: cols }, (_, i) => (i * 37 + 11) % cols);

/** quantizeTo, where column order[i] is in group ⌊i / group⌋. */
function quantizeReordered(
	width: Width,
	shape: readonly [number, number],
	w: Float32Array,
): Codes {
	const cols = shape[1];
	const order = orderOf(cols);
	const place = (i: number) => i - (i % cols) + order[i % cols]!;
	const quantized = quantizeTo(
		width,
		shape,
		w.map((_, i) => w[place(i)]!),
	);
	const codes = new Int8Array(w.length);
	for (const [i, code] of quantized.codes.entries()) codes[place(i)] = code;
	return { ...quantized, codes };
}

/** How compressed-tensors stores what has bits per code: in words, or since 0.13 as one stream of bits, or a byte each. */
export type Form = "loose" | "dense" | "bytes";

const VERSIONS = { loose: "0.12.2", dense: "0.13.0", bytes: "0.13.0" };

/** As llm-compressor stores it, with f32 scales. */
export async function nanoWidth(width: Width, form: Form): Promise<Files> {
	const { bits, group, asymmetric = false, dynamic = false } = width;
	const tensors = await tensorsOf((name, shape, w) => {
		const quantized = width.reordered
			? quantizeReordered(width, shape, w)
			: quantizeTo(width, shape, w);
		const { scales, zeros } = quantized;
		const [rows, cols] = shape;
		const perRow = scales.length / rows;
		const scale = f32([rows, perRow], scales);
		if (form === "bytes") {
			return {
				[name]: int8(shape, quantized.codes),
				[`${name}_scale`]: scale,
				...(zeros && { [`${name}_zero_point`]: int8([rows, perRow], zeros) }),
			};
		}
		// Zero points are packed down their columns.
		const columns = zeros && transposed(zeros, rows, perRow);
		const packed = columns && words(columns, rows, bits, form);
		return {
			[`${name}_packed`]: i32(words(quantized.codes, cols, bits, form), rows),
			[`${name}_scale`]: scale,
			[`${name}_shape`]: {
				dtype: "I64",
				shape: [2],
				data: bytesOf(BigInt64Array.of(BigInt(rows), BigInt(cols))),
			},
			...(width.reordered && {
				[`${name}_g_idx`]: indexOf(orderOf(cols), quantized.block),
			}),
			...(packed && {
				[`${name}_zero_point`]: i32(
					transposed(packed, perRow, packed.length / perRow),
					packed.length / perRow,
				),
			}),
		};
	});
	const config = compressedTensorsConfig(VERSIONS[form], dynamic, {
		num_bits: bits,
		type: "int",
		symmetric: !asymmetric,
		strategy: group ? "group" : "channel",
		group_size: group ?? null,
	});
	return { ...config, "model.safetensors": writeSafetensors(tensors) };
}

/** As torchao stores it in its safetensors form, embedding and all. */
export async function nanoIntx(width: Width): Promise<Files> {
	const metadata: Record<string, string> = {};
	const { bits, asymmetric, dynamic } = width;
	const tensors = await tensorsOf((name, shape, w) => {
		const [rows, cols] = shape;
		const block = width.group ?? cols;
		const { codes, scales, zeros } = asymmetric
			? quantizeTo(width, shape, w)
			: { ...torchaoSymmetric(w, bits, block, false), zeros: undefined };
		const perRow = cols / block;
		const stem = `${name.replace(/(\w+)$/, "_$1")}_`;
		const isDynamic = dynamic && name !== EMBEDDING;
		metadata[name] = JSON.stringify({
			_type: "IntxUnpackedToInt8Tensor",
			_data: {
				target_dtype: { _type: "torch.dtype", _data: `int${bits}` },
				block_size: [1, block],
				dtype: { _type: "torch.dtype", _data: "float32" },
				activation_quantization: isDynamic ? "int8_asym_per_token" : null,
			},
		});
		return {
			[`${stem}qdata`]: int8(shape, codes),
			[`${stem}scale`]: floats([rows, perRow], scales, width.scales),
			[`${stem}zero_point`]: int8(
				[rows, perRow],
				zeros ?? new Int8Array(rows * perRow),
			),
		};
	}, true);
	return {
		...withConfig({ quantization_config: { quant_method: "torchao" } }),
		"model.safetensors": writeSafetensors(tensors, metadata),
	};
}

/** FP8 as llm-compressor stores it: with a scale per tensor, per row, per 16 columns of a row, or per tile of 128 × 96. */
export async function nanoFp8(
	strategy: "tensor" | "channel" | "group" | "block",
	scaleType: ScaleType = "F32",
): Promise<Files> {
	const tensors = await tensorsOf((name, shape, w) => {
		const [rows, cols] = shape;
		const high = { tensor: rows, channel: 1, group: 1, block: 128 }[strategy];
		const wide = { tensor: cols, channel: cols, group: 16, block: 96 }[
			strategy
		];
		const grid = [Math.ceil(rows / high), Math.ceil(cols / wide)] as const;
		const at = (i: number) =>
			Math.floor(i / cols / high) * grid[1] + Math.floor((i % cols) / wide);
		const scales = new Float32Array(grid[0] * grid[1]);
		for (const [i, value] of w.entries())
			scales[at(i)] = Math.max(scales[at(i)]!, Math.abs(value) / 448);
		return {
			[name]: {
				dtype: "F8_E4M3",
				shape,
				data: float8(
					w.map((value, i) => value / scales[at(i)]!),
					"F8_E4M3",
				),
			},
			[`${name}_scale`]: floats(
				strategy === "tensor" ? [1] : grid,
				scales,
				scaleType,
			),
		};
	});
	const config = compressedTensorsConfig("0.13.0", false, {
		num_bits: 8,
		type: "float",
		symmetric: true,
		strategy,
		...(strategy === "group" && { group_size: 16 }),
		...(strategy === "block" && { block_structure: [128, 96] }),
	});
	return { ...config, "model.safetensors": writeSafetensors(tensors) };
}

/** All matrices as floats of 8 bits without scales. */
export async function nanoFloat8(type: Float8): Promise<Files> {
	const tensors = await tensorsOf(
		(name, shape, w) => ({
			[name]: { dtype: type, shape, data: float8(w, type) },
		}),
		true,
	);
	return {
		...withConfig({}),
		"model.safetensors": writeSafetensors(tensors),
	};
}

function compressedTensorsConfig(
	version: string,
	dynamic: boolean,
	weights: Readonly<Record<string, unknown>>,
): Files {
	const inputs = { num_bits: 8, type: "int", strategy: "token", dynamic: true };
	return withConfig({
		quantization_config: {
			quant_method: "compressed-tensors",
			version,
			ignore: ["lm_head"],
			config_groups: {
				group_0: {
					targets: ["Linear"],
					input_activations: dynamic ? inputs : null,
					weights,
				},
			},
		},
	});
}

/** Rows of codes + 2^(bits − 1) as little-endian words, bit after bit. */
function words(
	codes: Int8Array,
	cols: number,
	bits: number,
	form: Exclude<Form, "bytes">,
): Uint32Array {
	const perWord = Math.floor(32 / bits);
	const perRow =
		form === "dense"
			? Math.ceil((cols * bits) / 32)
			: Math.ceil(cols / perWord);
	const out = new Uint32Array((codes.length / cols) * perRow);
	for (let i = 0; i < codes.length; i++) {
		const row = Math.floor(i / cols);
		const col = i % cols;
		const first =
			form === "dense"
				? col * bits
				: 32 * Math.floor(col / perWord) + bits * (col % perWord);
		const u = codes[i]! + 2 ** (bits - 1);
		const at = row * perRow + (first >> 5);
		out[at]! |= u << (first & 31);
		// What does not fit into the word is the beginning of the next.
		const fitting = 32 - (first & 31);
		if (fitting < bits) out[at + 1]! |= u >> fitting;
	}
	return out;
}

/** [rows, cols] as [cols, rows]. */
function transposed<T extends Int8Array | Uint32Array>(
	values: T,
	rows: number,
	cols: number,
): T {
	const turned = values.slice() as T;
	for (let i = 0; i < values.length; i++)
		turned[(i % cols) * rows + Math.floor(i / cols)] = values[i]!;
	return turned;
}

/** The group of each column, given columns by groups. */
function indexOf(order: readonly number[], block: number): WriteTensor {
	const index = new Int32Array(order.length);
	for (const [i, column] of order.entries())
		index[column] = Math.floor(i / block);
	return { dtype: "I32", shape: [index.length], data: bytesOf(index) };
}

const floats = (
	shape: readonly number[],
	values: Float32Array,
	type: ScaleType = "F32",
): WriteTensor =>
	type === "F32"
		? f32(shape, values)
		: {
				dtype: type,
				shape,
				data: bytesOf(
					Uint16Array.from(values, type === "F16" ? floatToHalf : floatToBrain),
				),
			};
const f32 = (shape: readonly number[], values: Float32Array): WriteTensor => ({
	dtype: "F32",
	shape,
	data: bytesOf(values),
});
const int8 = (shape: readonly number[], values: Int8Array): WriteTensor => ({
	dtype: "I8",
	shape,
	data: bytesOf(values),
});
const i32 = (values: Uint32Array, rows: number): WriteTensor => ({
	dtype: "I32",
	shape: [rows, values.length / rows],
	data: bytesOf(values),
});
