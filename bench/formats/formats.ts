import { type MixName, mixes } from "../mixes.ts";
import type { Shape } from "../shapes.ts";
import { fourBit, llmInt8 } from "./bitsandbytes.ts";
import { float8, int8, packed } from "./compressed-tensors.ts";
import { type CheckpointFormat, floats, groupSize } from "./format.ts";
import { torchao } from "./torchao.ts";

const int4PerToken = { bits: 4, group: 32, dynamic: true } as const;
const int8PerRow = { bits: 8 } as const;

/** Checkpoints of safetensors, as libraries write them, by the names that the command line takes. */
export const checkpointFormats = {
	"safetensors-F32": () => ({ linear: floats("F32"), dtype: "F32" }),
	"safetensors-F16": () => ({ linear: floats("F16"), dtype: "F16" }),
	"safetensors-BF16": () => ({ linear: floats("BF16"), dtype: "BF16" }),
	"8da4w": () =>
		torchao({ linear: int4PerToken, embedding: int8PerRow, dtype: "F32" }),
	"HQQ-INT8-INT4": () =>
		torchao({ linear: int4PerToken, embedding: int8PerRow, dtype: "BF16" }),
	"torchao-int4-g32": () =>
		torchao({ linear: { bits: 4, group: 32 }, dtype: "BF16" }),
	"torchao-int4-g128": (shape) =>
		torchao({
			linear: { bits: 4, group: groupSize(shape, 128) },
			dtype: "BF16",
		}),
	"torchao-int8": () => torchao({ linear: int8PerRow, dtype: "BF16" }),
	W4A16: (shape) => packed({ bits: 4, group: groupSize(shape, 128) }),
	"W4A16-asym": (shape) =>
		packed({ bits: 4, group: groupSize(shape, 128), asymmetric: true }),
	W8A16: () => packed({ bits: 8 }),
	W8A8: () => int8,
	FP8: () => float8,
	NF4: () => fourBit({ type: "nf4", double: false }),
	"NF4-double": () => fourBit({ type: "nf4", double: true }),
	FP4: () => fourBit({ type: "fp4", double: false }),
	"LLM.int8": () => llmInt8,
} as const satisfies Record<string, (shape: Shape) => CheckpointFormat>;

export type CheckpointFormatName = keyof typeof checkpointFormats;

/** A way to store a model: a mix of GGUF's types, or a checkpoint of safetensors. */
export type FormatName = MixName | CheckpointFormatName;

export const isMix = (name: FormatName): name is MixName => name in mixes;

export const formatNames = [
	...Object.keys(mixes),
	...Object.keys(checkpointFormats),
] as FormatName[];
