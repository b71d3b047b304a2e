/** torchao's integers in its safetensors form: `…_qdata`, `…_scale` and `…_zero_point`, all zero, of each matrix. */
import {
	type CheckpointFormat,
	constant,
	type Matrix,
	type Store,
	scaleOf,
	signedCodes,
	type Weight,
	zeros,
} from "./format.ts";

/** How a matrix is quantized. */
interface Quantization {
	readonly bits: 4 | 8;
	/** Columns per scale; absent where each row has one. */
	readonly group?: number;
	/** Whether inputs are quantized to int8, per token. */
	readonly dynamic?: boolean;
}

export interface TorchaoOptions {
	readonly linear: Quantization;
	/** Where it is quantized too. */
	readonly embedding?: Quantization;
	/** What weights were before, and all others are. */
	readonly dtype: "F32" | "BF16";
}

export function torchao({
	linear,
	embedding,
	dtype,
}: TorchaoOptions): CheckpointFormat {
	const describe = ({ role, shape }: Weight) => {
		const how = { linear, embedding, norm: undefined }[role];
		return how === undefined
			? { _type: "Tensor" }
			: description(how, shape[1]!, dtype);
	};
	return {
		linear: stored(linear),
		...(embedding && { embedding: stored(embedding) }),
		dtype,
		config: { quant_method: "torchao", modules_to_not_convert: [] },
		metadata: (weights) => ({
			...Object.fromEntries(
				weights.map((w) => [w.name, JSON.stringify(describe(w))]),
			),
			tensor_names: JSON.stringify(weights.map((w) => w.name)),
		}),
	};
}

function description(
	{ bits, group, dynamic }: Quantization,
	columns: number,
	dtype: TorchaoOptions["dtype"],
) {
	const type = (_data: string) => ({ _type: "torch.dtype", _data });
	return {
		_type: "IntxUnpackedToInt8Tensor",
		_data: {
			target_dtype: type(`int${bits}`),
			block_size: [1, group ?? columns],
			dtype: type(dtype === "F32" ? "float32" : "bfloat16"),
			activation_quantization: dynamic ? "int8_asym_per_token" : null,
		},
	};
}

function stored({ bits, group }: Quantization): Store {
	const qdata = signedCodes(bits);
	const scale = constant("BF16", scaleOf(bits));
	return ({ name, shape }: Matrix) => {
		const [n, k] = shape;
		const stem = name.replace(/(\w+)$/, "_$1");
		const perGroup = [n, k / (group ?? k)];
		return [
			{ name: `${stem}_qdata`, dtype: "I8", shape, pattern: qdata },
			{ name: `${stem}_scale`, dtype: "BF16", shape: perGroup, pattern: scale },
			{
				name: `${stem}_zero_point`,
				dtype: "I8",
				shape: perGroup,
				pattern: zeros,
			},
		];
	};
}
