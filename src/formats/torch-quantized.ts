// torchao's quantized tensors, taken apart. Two generations:
//
//   v1  LinearActivationQuantizedTensor { original_weight_tensor, input_quant_func }
//         └ AffineQuantizedTensor { tensor_impl, block_size, quant_min, quant_max, zero_point_domain }
//             └ QDQTensorImpl | PlainAQTTensorImpl { int_data, scale, zero_point }
//   v2  IntxUnpackedToInt8Tensor { qdata, scale, zero_point, target_dtype, block_size, activation_quantization }
import { CheckpointError, UnsupportedError } from "../errors.ts";
import { isGlobal, show } from "./pickle.ts";
import {
	isQuantizedTensor,
	isTensor,
	type QuantizedTensor,
	type Tensor,
} from "./torch-objects.ts";

/** A quantized tensor as torchao's safetensors form describes it: `attributes` is the JSON in `__metadata__`. */
export interface Parts {
	readonly attributes: {
		readonly _type: string;
		readonly _data: Readonly<Record<string, unknown>>;
		readonly _tensor_data_names: readonly string[];
	};
	/** qdata, scale and, where there is one, zero_point. */
	readonly parts: Readonly<Record<string, Tensor>>;
}

type State = QuantizedTensor["state"];

/** Names of the functions by which v1 says how a linear layer's input is quantized, in v2's words. */
const ACTIVATIONS: Readonly<Record<string, string>> = {
	_int8_asymm_per_token_quant: "int8_asym_per_token",
	_int8_symm_per_token_quant: "int8_sym_per_token",
};

/** Takes a quantized tensor apart; `where` names file and tensor in error messages. */
export function takeApart(value: QuantizedTensor, where: string): Parts {
	switch (value.className) {
		case "LinearActivationQuantizedTensor": {
			const inner = nested(value.state, "original_weight_tensor", where);
			if (inner.className !== "AffineQuantizedTensor") {
				throw new UnsupportedError(
					`${where}: a ${value.className} around a ${inner.className}`,
				);
			}
			const name = value.state.get("input_quant_func");
			const fixed = value.state.get("quant_kwargs");
			if (fixed instanceof Map ? fixed.size > 0 : fixed != null) {
				throw new UnsupportedError(
					`${where}: activations quantized by ${show(name)} with ${show(fixed)}, expected no quant_kwargs`,
				);
			}
			const activation = isGlobal(name)
				? ACTIVATIONS[name.global.slice(name.global.lastIndexOf(".") + 1)]
				: undefined;
			if (activation === undefined) {
				throw new UnsupportedError(
					`${where}: activations quantized by ${show(name)}`,
				);
			}
			return affine(inner, activation, where);
		}
		case "AffineQuantizedTensor":
			return affine(value, null, where);
		case "IntxUnpackedTensor":
		case "IntxUnpackedToInt8Tensor": {
			const target = value.state.get("target_dtype");
			return describe(
				"IntxUnpackedToInt8Tensor",
				value,
				{
					target_dtype: {
						_type: "torch.dtype",
						_data: isGlobal(target) ? target.global.replace("torch.", "") : "",
					},
					activation_quantization: activationOf(value.state, where),
				},
				dataOf(value.state, "qdata", where),
				where,
			);
		}
		case "Int8Tensor":
			return describe(
				"Int8Tensor",
				value,
				inputAttributes(value.state),
				dataOf(value.state, "qdata", where),
				where,
			);
		default:
			throw new UnsupportedError(
				`${where}: a ${value.className} outside the tensor that owns it`,
			);
	}
}

function affine(
	value: QuantizedTensor,
	activation: string | null,
	where: string,
): Parts {
	const impl = nested(value.state, "tensor_impl", where);
	const [min, max, domain] = [
		"quant_min",
		"quant_max",
		"zero_point_domain",
	].map((key) => value.state.get(key));
	return describe(
		"AffineQuantizedTensor",
		value,
		{
			quant_min: min,
			quant_max: max,
			zero_point_domain: domain,
			activation_quantization: activation,
		},
		dataOf(impl.state, "int_data", where),
		where,
	);
}

function describe(
	type: string,
	value: QuantizedTensor,
	attributes: Readonly<Record<string, unknown>>,
	parts: Readonly<Record<string, Tensor>>,
	where: string,
): Parts {
	const block = value.state.get("block_size");
	if (!Array.isArray(block) || block.length !== value.shape.length) {
		throw new CheckpointError(
			`${where}: block_size is ${show(block)}, expected one count per dimension of [${value.shape}]`,
		);
	}
	return {
		attributes: {
			_type: type,
			_data: {
				...attributes,
				block_size: [...block],
				dtype: { _type: "torch.dtype", _data: value.dtype },
			},
			_tensor_data_names: Object.keys(parts),
		},
		parts,
	};
}

/** {qdata, scale, zero_point} of a tensor whose integers are called `codes`. */
function dataOf(
	state: State,
	codes: "qdata" | "int_data",
	where: string,
): Record<string, Tensor> {
	const parts: Record<string, Tensor> = {};
	for (const [name, key] of [
		["qdata", codes],
		["scale", "scale"],
		["zero_point", "zero_point"],
	] as const) {
		const value = state.get(key);
		if (name === "zero_point" && value == null) continue;
		if (!isTensor(value)) {
			throw new CheckpointError(
				`${where}: ${key} is ${show(value)}, expected a tensor`,
			);
		}
		parts[name] = value;
	}
	return parts;
}

/** What says how the input is changed, for an error: act_quant_kwargs, act_quant_scale, … */
function inputAttributes(state: State): Record<string, string> {
	const set = [...state].filter(
		([key, value]) => String(key).startsWith("act_") && value != null,
	);
	return Object.fromEntries(
		set.map(([key, value]) => [String(key), show(value)]),
	);
}

/** v2's activation quantization; in August 2025 it was a boolean of another name. */
function activationOf(state: State, where: string): string | null {
	if (state.get("apply_int8_act_asym_per_token_quant") === true) {
		return "int8_asym_per_token";
	}
	const value = state.get("activation_quantization") ?? null;
	if (value !== null && typeof value !== "string") {
		throw new CheckpointError(
			`${where}: activation_quantization is ${show(value)}`,
		);
	}
	return value;
}

function nested(state: State, key: string, where: string): QuantizedTensor {
	const value = state.get(key);
	if (!isQuantizedTensor(value)) {
		throw new CheckpointError(
			`${where}: ${key} is ${show(value)}, expected a quantized tensor`,
		);
	}
	return value;
}
