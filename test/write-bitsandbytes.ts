// Matrices as bitsandbytes saves them in 4 bits.
import {
	DYNAMIC,
	FP4,
	fourBit,
	NF4,
	nestedScales,
} from "./quantizers-bitsandbytes.ts";
import type { WriteTensor } from "./write-safetensors.ts";

export interface BitsandbytesOptions {
	/** @default "nf4" */
	readonly type?: "nf4" | "fp4";
	/** Type of the matrix that is quantized. @default "bfloat16" */
	readonly dtype?: "float32" | "bfloat16";
	/** @default 64 */
	readonly block?: number;
	/** Whether scales are quantized too. */
	readonly double?: boolean;
}

const u8 = (data: Uint8Array, shape = [data.length]): WriteTensor => ({
	dtype: "U8",
	shape,
	data,
});
const f32 = (values: Float32Array): WriteTensor => ({
	dtype: "F32",
	shape: [values.length],
	data: new Uint8Array(values.slice().buffer),
});

/** The tensors of a matrix, of an even number of weights. */
export function writeFourBit(
	name: string,
	shape: readonly number[],
	values: Float32Array,
	{
		type = "nf4",
		dtype = "bfloat16",
		block = 64,
		double = false,
	}: BitsandbytesOptions = {},
): Record<string, WriteTensor> {
	const table = type === "nf4" ? NF4 : FP4;
	const { codes, scales } = fourBit(values, table, block);
	const packed = Uint8Array.from(
		{ length: codes.length / 2 },
		(_, i) => (codes[2 * i]! << 4) | codes[2 * i + 1]!,
	);
	const { bytes, outer, offset } = nestedScales(scales);
	const state = JSON.stringify({
		quant_type: type,
		blocksize: block,
		dtype,
		shape,
		...(double && {
			nested_blocksize: 256,
			nested_dtype: "float32",
			nested_offset: offset,
		}),
	});
	return {
		[name]: u8(packed, [packed.length, 1]),
		[`${name}.absmax`]: double ? u8(bytes) : f32(scales),
		[`${name}.quant_map`]: f32(table),
		...(double && {
			[`${name}.nested_absmax`]: f32(outer),
			[`${name}.nested_quant_map`]: f32(DYNAMIC),
		}),
		[`${name}.quant_state.bitsandbytes__${type}`]: u8(
			new TextEncoder().encode(state),
		),
	};
}

/** What config.json says of it. */
export const fourBitConfig = ({
	type = "nf4",
	double = false,
}: BitsandbytesOptions = {}) => ({
	quantization_config: {
		quant_method: "bitsandbytes",
		load_in_4bit: true,
		bnb_4bit_quant_type: type,
		bnb_4bit_use_double_quant: double,
	},
});
