/**
 * The same shapes as an ONNX graph with random weights, as exporters write them for transformers.js: "q4" is MatMulNBits
 * over blocks of 32 with int8 arithmetic, "q8" is dynamic quantization with MatMulInteger.
 */
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomBytes } from "../random.ts";
import type { Shape } from "../shapes.ts";
import { configOf } from "../write-checkpoint.ts";
import {
	type Bytes,
	elementTypes,
	model,
	type Node,
	tensor,
	value,
} from "./onnx.ts";

export type OnnxType = "q4" | "q8";

/** What they are called in folders for transformers.js. */
export const fileNames = {
	q4: "model_q4.onnx",
	q8: "model_quantized.onnx",
} as const satisfies Record<OnnxType, string>;

const BLOCK = 32;
const MS = "com.microsoft";
const CONTEXT = 4096;

const bytesOf = (
	array: Float32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>,
) => new Uint8Array(array.buffer);

const constant = (length: number, of: number) =>
	bytesOf(new Float32Array(length).fill(of));

/** A folder as transformers.js reads it, without a tokenizer; what is there already is not written again. */
export function writeOnnx(folder: string, shape: Shape, type: OnnxType): void {
	const path = join(folder, fileNames[type]);
	if (existsSync(path)) return;
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "config.json"), JSON.stringify(configOf(shape)));
	const unfinished = `${path}.${process.pid}`;
	writeFileSync(unfinished, graphOf(shape, type));
	renameSync(unfinished, path);
}

function graphOf(shape: Shape, type: OnnxType): Bytes {
	const D = shape.hidden_size;
	const d = shape.head_dim;
	const H = shape.num_attention_heads;
	const K = shape.num_key_value_heads;
	const F = shape.intermediate_size;
	const V = shape.vocab_size;
	const nodes: Node[] = [];
	const initializers: Bytes[] = [];
	const inputs = [
		value("input_ids", "i64", [1, "T"]),
		value("attention_mask", "i64", [1, "S"]),
	];
	const outputs = [value("logits", "f32", [1, 1, V])];
	const quantized = new Set<string>();

	const linear4 = (y: string, x: string, n: number, k: number) => {
		const blocks = k / BLOCK;
		initializers.push(
			tensor(
				`${y}.weight`,
				"u8",
				[n, blocks, BLOCK / 2],
				randomBytes((n * k) / 2),
			),
			tensor(`${y}.scales`, "f32", [n * blocks], constant(n * blocks, 0.005)),
		);
		nodes.push({
			op: "MatMulNBits",
			domain: MS,
			inputs: [x, `${y}.weight`, `${y}.scales`],
			outputs: [y],
			attributes: { K: k, N: n, bits: 4, block_size: BLOCK, accuracy_level: 4 },
		});
	};
	const linear8 = (y: string, x: string, n: number, k: number) => {
		if (!quantized.has(x)) {
			quantized.add(x);
			nodes.push({
				op: "DynamicQuantizeLinear",
				inputs: [x],
				outputs: [`${x}.q`, `${x}.scale`, `${x}.zero`],
			});
		}
		initializers.push(
			tensor(`${y}.weight`, "i8", [k, n], randomBytes(n * k)),
			tensor(`${y}.scale`, "f32", [], constant(1, 0.0003)),
			tensor(`${y}.zero`, "i8", [], new Uint8Array(1)),
		);
		nodes.push(
			{
				op: "MatMulInteger",
				inputs: [`${x}.q`, `${y}.weight`, `${x}.zero`, `${y}.zero`],
				outputs: [`${y}.sums`],
			},
			{
				op: "Cast",
				inputs: [`${y}.sums`],
				outputs: [`${y}.cast`],
				attributes: { to: elementTypes.f32 },
			},
			{
				op: "Mul",
				inputs: [`${x}.scale`, `${y}.scale`],
				outputs: [`${y}.scales`],
			},
			{
				op: "Mul",
				inputs: [`${y}.cast`, `${y}.scales`],
				outputs: [y],
			},
		);
	};
	const linear = type === "q4" ? linear4 : linear8;

	const vector = (name: string) =>
		initializers.push(tensor(name, "f32", [D], constant(D, 1)));
	const epsilon = { float: shape.rms_norm_eps };
	/** x + more, and its norm. */
	const addAndNorm = (sum: string, norm: string, x: string, more: string) => {
		vector(`${norm}.weight`);
		nodes.push({
			op: "SkipSimplifiedLayerNormalization",
			domain: MS,
			inputs: [x, more, `${norm}.weight`],
			outputs: [norm, "", "", sum],
			attributes: { epsilon },
		});
	};

	const table = new Float32Array(V * D);
	for (let i = 0; i < table.length; i++)
		table[i] = ((i % 4099) / 4099 - 0.5) / 20;
	const angles = (of: (x: number) => number) =>
		bytesOf(
			Float32Array.from({ length: (CONTEXT * d) / 2 }, (_, i) => {
				const j = i % (d / 2);
				const position = (i - j) / (d / 2);
				return of(position * shape.rope_theta ** ((-2 * j) / d));
			}),
		);
	initializers.push(
		tensor("embed", "f32", [V, D], bytesOf(table)),
		tensor("cos", "f32", [CONTEXT, d / 2], angles(Math.cos)),
		tensor("sin", "f32", [CONTEXT, d / 2], angles(Math.sin)),
		tensor("last", "i64", [1], bytesOf(BigInt64Array.of(-1n))),
		tensor("one", "i64", [1], bytesOf(BigInt64Array.of(1n))),
		tensor("second", "i64", [], bytesOf(BigInt64Array.of(1n))),
	);
	// Places of the last keys, and how many there are, from a mask that is all ones.
	nodes.push(
		{
			op: "ReduceSum",
			inputs: ["attention_mask", "one"],
			outputs: ["lengths"],
			attributes: { keepdims: 0 },
		},
		{ op: "Sub", inputs: ["lengths", "one"], outputs: ["lastPlaces"] },
		{
			op: "Cast",
			inputs: ["lastPlaces"],
			outputs: ["seqlens_k"],
			attributes: { to: elementTypes.i32 },
		},
		{ op: "Shape", inputs: ["attention_mask"], outputs: ["maskShape"] },
		{
			op: "Gather",
			inputs: ["maskShape", "second"],
			outputs: ["total"],
			attributes: { axis: 0 },
		},
		{
			op: "Cast",
			inputs: ["total"],
			outputs: ["total_sequence_length"],
			attributes: { to: elementTypes.i32 },
		},
	);
	nodes.push({ op: "Gather", inputs: ["embed", "input_ids"], outputs: ["x0"] });
	vector("norm0.weight");
	nodes.push({
		op: "SimplifiedLayerNormalization",
		inputs: ["x0", "norm0.weight"],
		outputs: ["norm0"],
		attributes: { axis: -1, epsilon, stash_type: 1 },
	});
	for (let i = 0; i < shape.num_hidden_layers; i++) {
		const cache = ["key", "value"].map((kind) => ({
			past: `past_key_values.${i}.${kind}`,
			present: `present.${i}.${kind}`,
		}));
		inputs.push(...cache.map((c) => value(c.past, "f32", [1, K, "P", d])));
		outputs.push(...cache.map((c) => value(c.present, "f32", [1, K, "S", d])));
		linear(`q${i}`, `norm${i}`, H * d, D);
		linear(`k${i}`, `norm${i}`, K * d, D);
		linear(`v${i}`, `norm${i}`, K * d, D);
		nodes.push({
			op: "GroupQueryAttention",
			domain: MS,
			inputs: [
				`q${i}`,
				`k${i}`,
				`v${i}`,
				...cache.map((c) => c.past),
				"seqlens_k",
				"total_sequence_length",
				"cos",
				"sin",
			],
			outputs: [`attention${i}`, ...cache.map((c) => c.present)],
			attributes: { num_heads: H, kv_num_heads: K, do_rotary: 1 },
		});
		linear(`o${i}`, `attention${i}`, D, H * d);
		addAndNorm(`middle${i}`, `middleNorm${i}`, `x${i}`, `o${i}`);
		linear(`gate${i}`, `middleNorm${i}`, F, D);
		linear(`up${i}`, `middleNorm${i}`, F, D);
		nodes.push(
			{ op: "Sigmoid", inputs: [`gate${i}`], outputs: [`sigmoid${i}`] },
			{
				op: "Mul",
				inputs: [`gate${i}`, `sigmoid${i}`],
				outputs: [`silu${i}`],
			},
			{ op: "Mul", inputs: [`silu${i}`, `up${i}`], outputs: [`swiglu${i}`] },
		);
		linear(`down${i}`, `swiglu${i}`, D, F);
		addAndNorm(`x${i + 1}`, `norm${i + 1}`, `middle${i}`, `down${i}`);
	}
	nodes.push({
		op: "Gather",
		inputs: [`norm${shape.num_hidden_layers}`, "last"],
		outputs: ["lastRow"],
		attributes: { axis: 1 },
	});
	linear("logits", "lastRow", V, D);
	return model({ nodes, initializers, inputs, outputs });
}
