// The objects a torch checkpoint's pickle may describe: tensors over storages, and torchao's quantized tensors made of
// them. Rebuilding one here means writing down what it is; nothing is computed and no byte of data is touched.
import { CheckpointError, UnsupportedError } from "../errors.ts";
import {
	type Global,
	isGlobal,
	isTuple,
	type PickleHost,
	show,
} from "./pickle.ts";

/** Bytes under one or more tensors: the record `data/<key>`. */
export interface Storage {
	readonly key: string;
	/** Element type, undefined where the storage is untyped and the tensor says. */
	readonly type: string | undefined;
	/** Elements of `type`, bytes where untyped. */
	readonly length: number;
}

/** An ordinary tensor; offset and strides in elements. */
export interface Tensor {
	readonly storage: Storage;
	readonly type: string;
	readonly offset: number;
	readonly shape: readonly number[];
	readonly stride: readonly number[];
}

/** A tensor that is made of tensors. */
export interface QuantizedTensor {
	/** Class name without its module. */
	readonly className: string;
	/** The dtype it pretends to have: "bfloat16". */
	readonly dtype: string;
	readonly shape: readonly number[];
	readonly state: ReadonlyMap<unknown, unknown>;
}

/** Element types: torch's name → the name and size in bytes used here (safetensors' spelling). */
export const elementTypes: Readonly<Record<string, readonly [string, number]>> =
	{
		float64: ["F64", 8],
		float32: ["F32", 4],
		float16: ["F16", 2],
		bfloat16: ["BF16", 2],
		float8_e4m3fn: ["F8_E4M3", 1],
		float8_e5m2: ["F8_E5M2", 1],
		float8_e4m3fnuz: ["F8_E4M3FNUZ", 1],
		float8_e5m2fnuz: ["F8_E5M2FNUZ", 1],
		float8_e8m0fnu: ["F8_E8M0", 1],
		int64: ["I64", 8],
		int32: ["I32", 4],
		int16: ["I16", 2],
		int8: ["I8", 1],
		uint64: ["U64", 8],
		uint32: ["U32", 4],
		uint16: ["U16", 2],
		uint8: ["U8", 1],
		bool: ["BOOL", 1],
		complex64: ["C64", 8],
	};

const STORAGES: Readonly<Record<string, string>> = {
	DoubleStorage: "float64",
	FloatStorage: "float32",
	HalfStorage: "float16",
	BFloat16Storage: "bfloat16",
	LongStorage: "int64",
	IntStorage: "int32",
	ShortStorage: "int16",
	CharStorage: "int8",
	ByteStorage: "uint8",
	BoolStorage: "bool",
	ComplexFloatStorage: "complex64",
};
const UNTYPED = "torch.storage.UntypedStorage";

/** What a wrapper's `target_dtype` may be besides the element types: codes that torchao keeps one per byte. */
const CODE_TYPES = Array.from({ length: 7 }, (_, i) => [
	`int${i + 1}`,
	`uint${i + 1}`,
]).flat();

const WRAPPER = "torch._utils._rebuild_wrapper_subclass";
/** Classes of torchao's quantized tensors; the last component is what the reader of schemes sees. */
const QUANTIZED_CLASSES = [
	"torchao.quantization.linear_activation_quantized_tensor.LinearActivationQuantizedTensor",
	"torchao.dtypes.affine_quantized_tensor.AffineQuantizedTensor",
	"torchao.dtypes.uintx.q_dq_layout.QDQTensorImpl",
	"torchao.dtypes.uintx.plain_layout.PlainAQTTensorImpl",
	"torchao.quantization.IntxUnpackedTensor",
	"torchao.quantization.IntxUnpackedToInt8Tensor",
	"torchao.quantization.Int8Tensor",
];
const LAYOUT_CLASSES = [
	"torchao.dtypes.uintx.q_dq_layout.QDQLayout",
	"torchao.dtypes.utils.PlainLayout",
];
/** Functions that v1 objects mention to say how a linear layer's input is quantized. */
const ACTIVATION_FUNCTIONS = [
	"torchao.quantization.quant_api._int8_asymm_per_token_quant",
	"torchao.quantization.quant_api._int8_symm_per_token_quant",
];
/** Enums: value → name where the value is a number, otherwise the value itself. */
const ENUMS: Readonly<Record<string, readonly (string | undefined)[]>> = {
	"torchao.quantization.quant_primitives.ZeroPointDomain": [
		undefined,
		"INT",
		"FLOAT",
		"NONE",
	],
	"torchao.quantization.IntxUnpackedToInt8TensorActivationQuantization": [],
	"torchao.quantization.quantize_.workflows.intx.intx_unpacked_to_int8_tensor.IntxUnpackedToInt8TensorActivationQuantization":
		[],
};

export function isTensor(value: unknown): value is Tensor {
	return typeof value === "object" && value !== null && "storage" in value;
}

export function isQuantizedTensor(value: unknown): value is QuantizedTensor {
	return typeof value === "object" && value !== null && "className" in value;
}

/** The globals and persistent ids of torch checkpoints; `where` names the file in error messages. */
export function torchHost(where: string): PickleHost {
	const globals = new Map<string, Global>();
	const allow = (global: string, extra: Omit<Global, "global"> = {}) =>
		globals.set(global, { global, ...extra });
	const bad = (what: string): CheckpointError =>
		new CheckpointError(`${where}: ${what}`);

	const integer = (value: unknown, what: string): number => {
		if (!Number.isSafeInteger(value) || (value as number) < 0) {
			throw bad(`${what} is ${show(value)}, expected a count`);
		}
		return value as number;
	};
	const integers = (value: unknown, what: string): readonly number[] => {
		if (!Array.isArray(value) || value.length > 8) {
			throw bad(`${what} is ${show(value)}, expected at most 8 counts`);
		}
		return value.map((item) => integer(item, what));
	};
	const dtype = (value: unknown): string => {
		const name = isGlobal(value) ? value.global.replace(/^torch\./, "") : "";
		if (elementTypes[name] === undefined) {
			throw bad(`the dtype of a tensor is ${show(value)}`);
		}
		return name;
	};

	for (const name of [...Object.keys(elementTypes), ...CODE_TYPES]) {
		allow(`torch.${name}`);
	}
	for (const name of [
		...Object.keys(STORAGES).map((s) => `torch.${s}`),
		UNTYPED,
	]) {
		allow(name);
	}
	for (const name of [WRAPPER, ...QUANTIZED_CLASSES, ...ACTIVATION_FUNCTIONS]) {
		allow(name);
	}
	for (const name of LAYOUT_CLASSES) allow(name, { instantiable: true });
	for (const [name, members] of Object.entries(ENUMS)) {
		allow(name, {
			call: ([value]) => {
				const member = typeof value === "number" ? members[value] : value;
				if (typeof member !== "string") {
					throw bad(`${name} has no member ${show(value)}`);
				}
				return member;
			},
		});
	}

	allow("collections.OrderedDict", {
		call: (args) => {
			if (args.length > 0) throw bad("an OrderedDict made of arguments");
			return new Map();
		},
	});
	for (const name of ["__builtin__.set", "builtins.set"]) {
		allow(name, {
			call: ([items]) => {
				if (!Array.isArray(items)) throw bad("a set made of no list");
				return new Set(items);
			},
		});
	}
	allow("_codecs.encode", {
		call: ([text, encoding]) => {
			if (typeof text !== "string" || encoding !== "latin1") {
				throw bad("bytes in an encoding other than latin1");
			}
			return Uint8Array.from(text, (c) => c.charCodeAt(0));
		},
	});
	allow("torch.device", { call: () => null });
	allow("torch.serialization._get_layout", {
		call: ([layout]) => {
			if (layout !== "torch.strided") {
				throw new UnsupportedError(
					`${where}: a tensor of layout ${show(layout)}, expected torch.strided`,
				);
			}
			return layout;
		},
	});
	allow("torch.Size", {
		call: ([size]) => Object.freeze([...integers(size, "a torch.Size")]),
	});

	const rebuild = (
		storage: unknown,
		offset: unknown,
		size: unknown,
		stride: unknown,
		elementType: string | undefined,
	): Tensor => {
		if (!isStorage(storage)) throw bad("a tensor without a storage");
		const type = elementType ?? storage.type;
		if (type === undefined || (storage.type ?? type) !== type) {
			throw bad(
				`a tensor of ${type ?? "no dtype"} over a storage of ${storage.type ?? "bytes"}`,
			);
		}
		const shape = integers(size, "a tensor's size");
		const strides = integers(stride, "a tensor's stride");
		if (shape.length !== strides.length) {
			throw bad(
				`a tensor of ${shape.length} dimensions and ${strides.length} strides`,
			);
		}
		return {
			storage,
			type,
			offset: integer(offset, "a storage offset"),
			shape,
			stride: strides,
		};
	};
	allow("torch._utils._rebuild_tensor_v2", {
		call: ([storage, offset, size, stride]) =>
			rebuild(storage, offset, size, stride, undefined),
	});
	allow("torch._utils._rebuild_tensor_v3", {
		call: ([storage, offset, size, stride, , , type]) =>
			rebuild(storage, offset, size, stride, dtype(type)),
	});
	allow("torch._utils._rebuild_parameter", {
		call: ([data]) => {
			if (!isTensor(data) && !isQuantizedTensor(data)) {
				throw bad(`a parameter made of ${show(data)}`);
			}
			return data;
		},
	});
	allow("torch._tensor._rebuild_from_type_v2", {
		call: ([rebuilder, , args, state]): QuantizedTensor => {
			if (!isGlobal(rebuilder) || rebuilder.global !== WRAPPER) {
				throw bad(
					`a tensor rebuilt by ${show(rebuilder)}, expected ${WRAPPER}`,
				);
			}
			const [type, elementType, size] = isTuple(args) ? args : [];
			if (!isGlobal(type) || !QUANTIZED_CLASSES.includes(type.global)) {
				throw bad(`a quantized tensor of class ${show(type)}`);
			}
			if (!(state instanceof Map)) {
				throw bad(`a ${type.global} whose state is ${show(state)}`);
			}
			return {
				className: type.global.slice(type.global.lastIndexOf(".") + 1),
				dtype: dtype(elementType),
				shape: integers(size, `the size of a ${type.global}`),
				state,
			};
		},
	});

	return {
		where,
		global: (name) => globals.get(name),
		persistent: (id): Storage => {
			const [kind, storageClass, key, , length] = id;
			if (
				kind !== "storage" ||
				!isGlobal(storageClass) ||
				typeof key !== "string"
			) {
				throw bad(`a persistent id of ${show(kind)}, expected a storage`);
			}
			const name = storageClass.global;
			const type = STORAGES[name.replace(/^torch\./, "")];
			if (type === undefined && name !== UNTYPED) {
				throw bad(`a storage of class ${name}`);
			}
			return { key, type, length: integer(length, `storage ${key}'s length`) };
		},
	};
}

function isStorage(value: unknown): value is Storage {
	return typeof value === "object" && value !== null && "key" in value;
}
