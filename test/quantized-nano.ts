// The embedded model, quantized and written as each library would publish it.
import { readFileSync } from "node:fs";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import type { Repository } from "../src/sources/source.ts";
import {
	compressedTensorsSymmetric,
	type Quantized,
	torchaoHqq,
	torchaoSymmetric,
} from "./quantizers.ts";
import { fourBit, NF4 } from "./quantizers-bitsandbytes.ts";
import {
	type BitsandbytesOptions,
	fourBitConfig,
	writeFourBit,
} from "./write-bitsandbytes.ts";
import { type WriteTensor, writeSafetensors } from "./write-safetensors.ts";
import {
	type Generation,
	type Plain,
	type Quantized as TorchQuantized,
	writeTorch,
} from "./write-torch.ts";

const folder = new URL("../models/nano-smollm3/", import.meta.url);
const COMPANIONS = [
	"config.json",
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"chat_template.jinja",
];
const EMBEDDING = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";

type Files = Record<string, Uint8Array>;

const companions = (): Files =>
	Object.fromEntries(
		COMPANIONS.map((f) => [
			f,
			new Uint8Array(readFileSync(new URL(f, folder))),
		]),
	);

/** The embedded model as it is published: bf16. */
export function nano(): Repository {
	const file = "model.safetensors";
	const weights = new Uint8Array(readFileSync(new URL(file, folder)));
	return bytesRepository({ ...companions(), [file]: weights }, "nano");
}

export interface Matrix {
	readonly shape: readonly number[];
	readonly values: Float32Array;
}

let weights: Promise<ReadonlyMap<string, Matrix>> | undefined;

/** All weights of the embedded model in f32. */
export function nanoWeights(): Promise<ReadonlyMap<string, Matrix>> {
	weights ??= readWeights();
	return weights;
}

async function readWeights(): Promise<Map<string, Matrix>> {
	const checkpoint = await openCheckpoint(nano());
	const found = new Map<string, Matrix>();
	for (const name of matrixNames(checkpoint)) {
		const matrix = await findMatrix(checkpoint, name);
		if (matrix === undefined) throw new Error(`${name} is not found`);
		const { shape, rows } = matrix;
		found.set(name, { shape, values: await matrix.decode(0, rows) });
	}
	return found;
}

/** How one weight of a scheme is stored. */
export interface StoredAs extends Quantized {
	readonly shape: readonly [number, number];
	readonly bits: number;
	/** Whether its input is quantized. */
	readonly dynamic: boolean;
}

/** The schemes for which there are references, and how each quantizes. */
export const nanoSchemes = {
	"8da4w": {
		linear: (w) => torchaoSymmetric(w, 4, 32, true),
		embedding: (w, cols) => torchaoSymmetric(w, 8, cols, false),
		dynamic: true,
	},
	hqq_int8_int4: {
		linear: (w) => torchaoHqq(w, 4, 32),
		embedding: (w, cols) => torchaoHqq(w, 8, cols),
		dynamic: true,
	},
	int4_weight_only_g32: { linear: (w) => torchaoSymmetric(w, 4, 32, true) },
	hqq_int4_weight_only: { linear: (w) => torchaoHqq(w, 4, 32) },
	w4a16_ct_g128: { linear: (w) => compressedTensorsSymmetric(w, 4, 128) },
	w8a16_ct_channel: {
		linear: (w, cols) => compressedTensorsSymmetric(w, 8, cols),
		bits: 8,
	},
	nf4: { linear: (w) => fourBit(w, NF4, 64) },
} as const satisfies Record<string, NanoScheme>;

export type NanoSchemeName = keyof typeof nanoSchemes;

interface NanoScheme {
	linear(w: Float32Array, cols: number): Quantized;
	/** Where the embedding is quantized too, the head is untied and quantized like a linear layer. */
	embedding?(w: Float32Array, cols: number): Quantized;
	readonly dynamic?: boolean;
	readonly bits?: number;
}

export interface QuantizedNano {
	/** The quantized matrices of a scheme. */
	readonly quantized: ReadonlyMap<string, StoredAs>;
	/** The weights that it leaves alone. */
	readonly plain: ReadonlyMap<string, Matrix>;
}

const done = new Map<NanoSchemeName, Promise<QuantizedNano>>();

/** Quantizes the embedded model, once per scheme. */
export function quantizeNano(name: NanoSchemeName): Promise<QuantizedNano> {
	const found = done.get(name) ?? quantize(name);
	done.set(name, found);
	return found;
}

async function quantize(name: NanoSchemeName): Promise<QuantizedNano> {
	const scheme: NanoScheme = nanoSchemes[name];
	const quantized = new Map<string, StoredAs>();
	const plain = new Map<string, Matrix>();
	const { bits = 4, dynamic = false } = scheme;
	for (const [key, { shape, values }] of await nanoWeights()) {
		const [rows = 0, cols = 0] = shape;
		const about = { shape: [rows, cols] as const, bits, dynamic };
		if (shape.length < 2 || (key === EMBEDDING && !scheme.embedding)) {
			plain.set(key, { shape, values });
		} else if (key === EMBEDDING && scheme.embedding) {
			const own = scheme.embedding(values, cols);
			quantized.set(key, { ...about, ...own, bits: 8, dynamic: false });
			quantized.set(HEAD, { ...about, ...scheme.linear(values, cols) });
		} else {
			quantized.set(key, { ...about, ...scheme.linear(values, cols) });
		}
	}
	return { quantized, plain };
}

/** The model as torchao's objects in a torch archive. */
export async function nanoTorchao(
	name: NanoSchemeName,
	generation: Generation,
): Promise<Files> {
	const { quantized, plain } = await quantizeNano(name);
	const tensors: Record<string, Plain | TorchQuantized> = {};
	for (const [key, { shape, values }] of plain) {
		tensors[key] = { dtype: "float32", shape, data: bytesOf(values) };
	}
	for (const [key, q] of quantized) {
		const { codes, scale, zeroPoint } = torchaoParts(q);
		tensors[key] = { ...q, dtype: "float32", codes, scale, zeroPoint };
	}
	const weights = writeTorch(tensors, generation);
	return { ...torchaoConfig(name), "pytorch_model.bin": weights };
}

/** The model in torchao's safetensors form, with the names of 0.14 or of 0.15 and later. */
export async function nanoTorchaoSafetensors(
	name: NanoSchemeName,
	naming: "0.14" | "0.15",
): Promise<Files> {
	const { quantized, plain } = await quantizeNano(name);
	const tensors: Record<string, WriteTensor> = {};
	const metadata: Record<string, string> = {};
	const old = naming === "0.14";
	for (const [key, { shape, values }] of plain) {
		const data = bytesOf(values);
		tensors[old ? `${key}:_data` : key] = { dtype: "F32", shape, data };
		metadata[key] = JSON.stringify({ _type: "Tensor" });
	}
	for (const [key, q] of quantized) {
		const { codes, scale, zeroPoint } = torchaoParts(q);
		const stem = old ? `${key}:` : `${key.replace(/(\w+)$/, "_$1")}_`;
		const spelt = ({ dtype, shape, data }: Plain): WriteTensor => ({
			dtype: { int8: "I8", bfloat16: "BF16", float32: "F32" }[dtype] ?? dtype,
			shape,
			data,
		});
		tensors[`${stem}qdata`] = spelt(codes);
		tensors[`${stem}scale`] = spelt(scale);
		tensors[`${stem}zero_point`] = spelt(zeroPoint);
		metadata[key] = JSON.stringify({
			_type: "IntxUnpackedToInt8Tensor",
			_data: {
				target_dtype: { _type: "torch.dtype", _data: `int${q.bits}` },
				block_size: [1, q.block],
				dtype: { _type: "torch.dtype", _data: "float32" },
				activation_quantization: q.dynamic ? "int8_asym_per_token" : null,
			},
		});
	}
	metadata.tensor_names = JSON.stringify(Object.keys(metadata));
	const weights = writeSafetensors(tensors, metadata);
	return { ...torchaoConfig(name), "model.safetensors": weights };
}

function torchaoParts(q: StoredAs) {
	const [rows, cols] = q.shape;
	const perRow = cols / q.block;
	const exact = q.scales.every((s) => bfloat16Bits(s) << 16 === bitsOf(s));
	const scale: Plain = {
		dtype: exact ? "bfloat16" : "float32",
		shape: [rows, perRow],
		data: exact
			? bytesOf(Uint16Array.from(q.scales, bfloat16Bits))
			: bytesOf(q.scales),
	};
	return {
		codes: { dtype: "int8", shape: q.shape, data: bytesOf(q.codes) },
		scale,
		zeroPoint: {
			dtype: "int8",
			shape: [rows, perRow],
			data: new Uint8Array(rows * perRow),
		},
	};
}

function torchaoConfig(name: NanoSchemeName): Files {
	const scheme: NanoScheme = nanoSchemes[name];
	return withConfig({
		...(scheme.embedding && { tie_word_embeddings: false }),
		quantization_config: {
			quant_method: "torchao",
			modules_to_not_convert: [],
		},
	});
}

/** The model as llm-compressor packs it. */
export async function nanoCompressedTensors(
	name: "w4a16_ct_g128" | "w8a16_ct_channel",
): Promise<Files> {
	const { quantized, plain } = await quantizeNano(name);
	const tensors = plainTensors(plain);
	for (const [key, { shape, bits, block, codes, scales }] of quantized) {
		const [rows, cols] = shape;
		const half = 2 ** (bits - 1);
		const perByte = 8 / bits;
		const packed = new Uint8Array(codes.length / perByte);
		for (const [i, code] of codes.entries()) {
			packed[Math.floor(i / perByte)]! |=
				(code + half) << (bits * (i % perByte));
		}
		tensors[`${key}_packed`] = {
			dtype: "I32",
			shape: [rows, cols / perByte / 4],
			data: packed,
		};
		tensors[`${key}_scale`] = {
			dtype: "BF16",
			shape: [rows, cols / block],
			data: bytesOf(Uint16Array.from(scales, bfloat16Bits)),
		};
		tensors[`${key}_shape`] = {
			dtype: "I64",
			shape: [2],
			data: bytesOf(BigInt64Array.from(shape, BigInt)),
		};
	}
	const group = name === "w4a16_ct_g128";
	const config = withConfig({
		quantization_config: {
			quant_method: "compressed-tensors",
			format: "pack-quantized",
			quantization_status: "compressed",
			ignore: ["lm_head"],
			kv_cache_scheme: null,
			config_groups: {
				group_0: {
					targets: ["Linear"],
					input_activations: null,
					output_activations: null,
					weights: {
						num_bits: group ? 4 : 8,
						type: "int",
						symmetric: true,
						strategy: group ? "group" : "channel",
						group_size: group ? 128 : null,
						dynamic: false,
						actorder: null,
					},
				},
			},
		},
	});
	return { ...config, "model.safetensors": writeSafetensors(tensors) };
}

/** The model as bitsandbytes saves it in 4 bits. */
export async function nanoBitsandbytes(
	options: BitsandbytesOptions = {},
): Promise<Files> {
	const weights = await nanoWeights();
	const isPlain = (name: string) =>
		name === EMBEDDING || weights.get(name)!.shape.length < 2;
	const tensors = plainTensors(
		new Map([...weights].filter(([name]) => isPlain(name))),
	);
	for (const [name, { shape, values }] of weights)
		if (!isPlain(name))
			Object.assign(tensors, writeFourBit(name, shape, values, options));
	const config = withConfig(fourBitConfig(options));
	return { ...config, "model.safetensors": writeSafetensors(tensors) };
}

/** The model with the numbers that a checkpoint's weights stand for, as f32. */
export async function decodedNano(checkpoint: Checkpoint): Promise<Files> {
	const tensors: Record<string, WriteTensor> = {};
	for (const name of matrixNames(checkpoint)) {
		const matrix = (await findMatrix(checkpoint, name))!;
		const { shape, rows } = matrix;
		tensors[name] = { ...f32(await matrix.decode(0, rows)), shape };
	}
	return { ...companions(), "model.safetensors": writeSafetensors(tensors) };
}

const f32 = (values: Float32Array): WriteTensor => ({
	dtype: "F32",
	shape: [values.length],
	data: bytesOf(values),
});

export function plainTensors(
	plain: ReadonlyMap<string, Matrix>,
): Record<string, WriteTensor> {
	const entries = [...plain].map(([key, { shape, values }]) => {
		const bits = new Uint16Array(values.length);
		for (let i = 0; i < bits.length; i++) bits[i] = bfloat16Bits(values[i]!);
		const data = bytesOf(bits);
		return [key, { dtype: "BF16", shape, data }];
	});
	return Object.fromEntries(entries);
}

export function withConfig(changes: Readonly<Record<string, unknown>>): Files {
	const files = companions();
	const config = JSON.parse(new TextDecoder().decode(files["config.json"]));
	const text = JSON.stringify({ ...config, ...changes });
	return { ...files, "config.json": new TextEncoder().encode(text) };
}

export function bytesOf(view: ArrayBufferView): Uint8Array {
	return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

const single = new Float32Array(1);
const word = new Int32Array(single.buffer);
function bitsOf(value: number): number {
	single[0] = value;
	return word[0]!;
}
/** Of values that bf16 holds exactly. */
export const bfloat16Bits = (value: number) => bitsOf(value) >>> 16;
