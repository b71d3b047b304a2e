/** What bitsandbytes writes: places in a table of 16 floats with a scale per 64 weights, and LLM.int8. Embeddings stay as they are. */
import { DYNAMIC, FP4, NF4 } from "../../test/quantizers-bitsandbytes.ts";
import { fourBitConfig } from "../../test/write-bitsandbytes.ts";
import type { FileTensor } from "../safetensors-file.ts";
import {
	type CheckpointFormat,
	codes,
	constant,
	type Store,
	signedCodes,
} from "./format.ts";

const BLOCK = 64;
/** Scales that share an outer one where they are quantized themselves. */
const OUTER_BLOCK = 256;
/** The largest magnitude of a block, or of a row. */
const ABSMAX = 0.04;

interface FourBitOptions {
	readonly type: "nf4" | "fp4";
	/** Whether scales are quantized too. */
	readonly double: boolean;
}

/** Codes of 4 bits. */
export function fourBit({ type, double }: FourBitOptions): CheckpointFormat {
	const absmax = constant("F32", ABSMAX);
	const outer = constant("F32", ABSMAX / 2);
	const table = bytesOf(type === "nf4" ? NF4 : FP4);
	const dynamic = bytesOf(DYNAMIC);
	const linear: Store = ({ name, shape }) => {
		const [n, k] = shape;
		const blocks = Math.ceil((n * k) / BLOCK);
		const part = (
			suffix: string,
			dtype: FileTensor["dtype"],
			length: number,
			pattern: Uint8Array,
		): FileTensor => ({
			name: `${name}.${suffix}`,
			dtype,
			shape: [length],
			pattern,
		});
		const state = new TextEncoder().encode(
			JSON.stringify({
				quant_type: type,
				blocksize: BLOCK,
				dtype: "bfloat16",
				shape,
				...(double && {
					nested_blocksize: OUTER_BLOCK,
					nested_dtype: "float32",
					nested_offset: ABSMAX,
				}),
			}),
		);
		return [
			{ name, dtype: "U8", shape: [(n * k) / 2, 1], pattern: codes },
			double
				? part("absmax", "U8", blocks, codes)
				: part("absmax", "F32", blocks, absmax),
			part("quant_map", "F32", 16, table),
			...(double
				? [
						part(
							"nested_absmax",
							"F32",
							Math.ceil(blocks / OUTER_BLOCK),
							outer,
						),
						part("nested_quant_map", "F32", 256, dynamic),
					]
				: []),
			part(`quant_state.bitsandbytes__${type}`, "U8", state.length, state),
		];
	};
	return {
		linear,
		dtype: "BF16",
		config: fourBitConfig({ type, double }).quantization_config,
	};
}

const int8Codes = signedCodes(8);
const rowScale = constant("F32", ABSMAX);

/** Codes of 8 bits with a scale per row. */
export const llmInt8: CheckpointFormat = {
	linear: ({ name, shape }) => [
		{ name, dtype: "I8", shape, pattern: int8Codes },
		{
			name: name.replace(/weight$/, "SCB"),
			dtype: "F32",
			shape: [shape[0]],
			pattern: rowScale,
		},
		{
			name: `${name}_format`,
			dtype: "U8",
			shape: [],
			pattern: new Uint8Array(1),
		},
	],
	dtype: "BF16",
	config: {
		quant_method: "bitsandbytes",
		load_in_8bit: true,
		llm_int8_threshold: 6,
	},
};

function bytesOf(values: Float32Array): Uint8Array {
	return new Uint8Array(values.slice().buffer);
}
