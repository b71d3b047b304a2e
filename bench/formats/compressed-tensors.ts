/** What llm-compressor writes: integers packed into words or a byte each, and floats of 8 bits. Embeddings stay as they are. */
import {
	type CheckpointFormat,
	codes,
	constant,
	type Store,
	scaleOf,
	signedCodes,
} from "./format.ts";

interface PackedOptions {
	readonly bits: 4 | 8;
	/** Columns per scale; absent where each row has one. */
	readonly group?: number;
	readonly asymmetric?: boolean;
}

/** Codes in words of 32 bits, inputs as they are: W4A16, W8A16. */
export function packed({
	bits,
	group,
	asymmetric = false,
}: PackedOptions): CheckpointFormat {
	const perWord = 32 / bits;
	const scale = constant("BF16", scaleOf(bits));
	const linear: Store = ({ name, shape: [n, k] }) => {
		const groups = k / (group ?? k);
		return [
			{
				name: `${name}_packed`,
				dtype: "I32",
				shape: [n, k / perWord],
				pattern: codes,
			},
			{
				name: `${name}_scale`,
				dtype: "BF16",
				shape: [n, groups],
				pattern: scale,
			},
			{
				name: `${name}_shape`,
				dtype: "I64",
				shape: [2],
				pattern: new Uint8Array(BigInt64Array.of(BigInt(n), BigInt(k)).buffer),
			},
			...(asymmetric
				? [
						{
							name: `${name}_zero_point`,
							dtype: "I32" as const,
							shape: [Math.ceil(n / perWord), groups],
							pattern: codes,
						},
					]
				: []),
		];
	};
	return {
		linear,
		dtype: "BF16",
		config: config("pack-quantized", {
			num_bits: bits,
			type: "int",
			symmetric: !asymmetric,
			strategy: group ? "group" : "channel",
			group_size: group ?? null,
		}),
	};
}

/** Integers of 8 bits with a scale per row, inputs rounded to int8 per token: W8A8. */
export const int8: CheckpointFormat = {
	linear: bytewise("I8", signedCodes(8), scaleOf(8)),
	dtype: "BF16",
	config: config(
		"int-quantized",
		{ num_bits: 8, type: "int", symmetric: true, strategy: "channel" },
		{ num_bits: 8, type: "int", symmetric: true, strategy: "token" },
	),
};

/** E4M3 with a scale per row: FP8 dynamic. */
export const float8: CheckpointFormat = {
	linear: bytewise("F8_E4M3", finite(), 0.04 / 448),
	dtype: "BF16",
	config: config(
		"float-quantized",
		{ num_bits: 8, type: "float", symmetric: true, strategy: "channel" },
		{ num_bits: 8, type: "float", symmetric: true, strategy: "token" },
	),
};

/** Random codes of E4M3 but for those of NaN, which are all ones after the sign. */
function finite(): Uint8Array {
	return codes.map((code) => ((code & 127) === 127 ? 0 : code));
}

function bytewise(
	dtype: "I8" | "F8_E4M3",
	pattern: Uint8Array,
	size: number,
): Store {
	const scale = constant("BF16", size);
	return ({ name, shape }) => [
		{ name, dtype, shape, pattern },
		{
			name: `${name}_scale`,
			dtype: "BF16",
			shape: [shape[0], 1],
			pattern: scale,
		},
	];
}

type Arguments = Readonly<Record<string, unknown>>;

function config(format: string, weights: Arguments, inputs?: Arguments) {
	return {
		quant_method: "compressed-tensors",
		format,
		version: "0.13.0",
		quantization_status: "compressed",
		ignore: ["lm_head"],
		config_groups: {
			group_0: {
				targets: ["Linear"],
				weights: { ...weights, dynamic: false },
				input_activations: inputs ? { ...inputs, dynamic: true } : null,
				output_activations: null,
			},
		},
	};
}
