// Writes torch archives: plain tensors and torchao's quantized tensors of both generations, as torch.save pickles them.
import { Bytes, writeZip } from "./write-zip.ts";

/** A Python object to pickle: arrays are tuples, Maps are dicts. */
export type Python =
	| null
	| boolean
	| number
	| bigint
	| string
	| readonly Python[]
	| Map<string, Python>
	| { readonly global: string }
	| { readonly call: string; readonly args: readonly Python[] }
	| { readonly make: string }
	| { readonly persistent: readonly Python[] }
	| { readonly raw: ArrayLike<number> };

/** A plain tensor: torch's dtype, shape, bytes. */
export interface Plain {
	readonly dtype: string;
	readonly shape: readonly number[];
	readonly data: Uint8Array;
}

/** A quantized tensor: integers one per byte, a scale and a zero point per block of columns. */
export interface Quantized {
	readonly bits: number;
	/** The dtype it pretends to have. */
	readonly dtype: string;
	readonly shape: readonly [number, number];
	/** Columns per scale. */
	readonly block: number;
	/** Whether its input is quantized per token. */
	readonly dynamic: boolean;
	/** The scale of its inputs, where they have one for all tokens. */
	readonly inputScale?: Plain;
	readonly codes: Plain;
	readonly scale: Plain;
	readonly zeroPoint: Plain;
}

/** How quantized tensors are pickled: torchao 0.12's classes or those of 0.14 and later. */
export type Generation = "v1" | "v2";

const STORAGES: Readonly<Record<string, string>> = {
	float32: "FloatStorage",
	float16: "HalfStorage",
	bfloat16: "BFloat16Storage",
	int64: "LongStorage",
	int32: "IntStorage",
	int8: "CharStorage",
	uint8: "ByteStorage",
};

/** A whole archive of named tensors. */
export function writeTorch(
	tensors: Readonly<Record<string, Plain | Quantized>>,
	generation: Generation = "v2",
): Uint8Array {
	const storages: Uint8Array[] = [];
	const plain = ({ dtype, shape, data }: Plain): Python => {
		const length = shape.reduce((a, b) => a * b, 1);
		const stride = shape.map((_, i) =>
			shape.slice(i + 1).reduce((a, b) => a * b, 1),
		);
		const storageClass = { global: `torch ${STORAGES[dtype]}` };
		const key = String(storages.push(data) - 1);
		return {
			call: "torch._utils _rebuild_tensor_v2",
			args: [
				{ persistent: ["storage", storageClass, key, "cpu", length] },
				0,
				[...shape],
				stride,
				false,
				{ call: "collections OrderedDict", args: [] },
			],
		};
	};
	const wrapper = (
		type: string,
		dtype: string,
		[rows, cols]: readonly [number, number],
		state: Readonly<Record<string, Python>>,
	): Python => ({
		call: "torch._tensor _rebuild_from_type_v2",
		args: [
			{ global: "torch._utils _rebuild_wrapper_subclass" },
			{ global: type },
			[
				{ global: type },
				{ global: `torch ${dtype}` },
				[rows, cols],
				[cols, 1],
				0,
				{ call: "torch.serialization _get_layout", args: ["torch.strided"] },
				{ call: "torch device", args: ["cpu"] },
				false,
			],
			new Map(Object.entries(state)),
		],
	});
	const quantized = (q: Quantized): Python => {
		const { dtype, shape, bits } = q;
		if (generation === "v2") {
			const { inputScale } = q;
			return wrapper(
				`torchao.quantization ${inputScale ? "Int8Tensor" : "IntxUnpackedToInt8Tensor"}`,
				dtype,
				shape,
				{
					...(inputScale && { act_quant_scale: plain(inputScale) }),
					qdata: plain(q.codes),
					scale: plain(q.scale),
					zero_point: plain(q.zeroPoint),
					target_dtype: { global: `torch int${bits}` },
					block_size: [1, q.block],
					activation_quantization: q.dynamic ? "int8_asym_per_token" : null,
				},
			);
		}
		const flat = (t: Plain): Plain =>
			q.block === shape[1] ? { ...t, shape: [shape[0]] } : t;
		const affine = wrapper(
			"torchao.dtypes.affine_quantized_tensor AffineQuantizedTensor",
			dtype,
			shape,
			{
				tensor_impl: wrapper(
					"torchao.dtypes.uintx.q_dq_layout QDQTensorImpl",
					"int8",
					shape,
					{
						int_data: plain(q.codes),
						scale: plain(flat(q.scale)),
						zero_point: plain(flat(q.zeroPoint)),
						_layout: { make: "torchao.dtypes.uintx.q_dq_layout QDQLayout" },
					},
				),
				block_size: [1, q.block],
				quant_min: -(2 ** (bits - 1)),
				quant_max: 2 ** (bits - 1) - 1,
				zero_point_domain: {
					call: "torchao.quantization.quant_primitives ZeroPointDomain",
					args: [1],
				},
			},
		);
		if (!q.dynamic) return affine;
		return wrapper(
			"torchao.quantization.linear_activation_quantized_tensor LinearActivationQuantizedTensor",
			dtype,
			shape,
			{
				original_weight_tensor: affine,
				input_quant_func: {
					global: "torchao.quantization.quant_api _int8_asymm_per_token_quant",
				},
				quant_kwargs: new Map(q.inputScale && [["scale", plain(q.inputScale)]]),
			},
		);
	};
	const contents = new Map(
		Object.entries(tensors).map(([name, tensor]): [string, Python] => [
			name,
			"codes" in tensor ? quantized(tensor) : plain(tensor),
		]),
	);
	return writeArchive(contents, storages);
}

/** An archive around any pickle and any storages. */
export function writeArchive(
	contents: Python,
	storages: readonly Uint8Array[] = [],
): Uint8Array {
	const text = (s: string) => new TextEncoder().encode(s);
	return writeZip([
		{ name: "made/data.pkl", data: writePickle(contents) },
		{ name: "made/byteorder", data: text("little") },
		...storages.map((data, i) => ({ name: `made/data/${i}`, data })),
		{ name: "made/version", data: text("3\n") },
	]);
}

/** A protocol-2 pickle. */
export function writePickle(value: Python): Uint8Array {
	const out = new Bytes().raw([0x80, 2]);
	const global = (name: string) =>
		out.raw([
			0x63,
			...new TextEncoder().encode(`${name.replace(" ", "\n")}\n`),
		]);
	const tuple = (items: readonly Python[]) => {
		out.u8(0x28);
		for (const item of items) put(item);
		out.u8(0x74);
	};
	const put = (v: Python): void => {
		if (v === null) out.u8(0x4e);
		else if (typeof v === "boolean") out.u8(v ? 0x88 : 0x89);
		else if (typeof v === "string") {
			const bytes = new TextEncoder().encode(v);
			out.u8(0x58).u32(bytes.length).raw(bytes);
		} else if (typeof v === "number" && Math.abs(v) < 2 ** 31) {
			out.u8(0x4a).u32(v >>> 0);
		} else if (typeof v === "number" || typeof v === "bigint") {
			const n = BigInt(v);
			out.raw([0x8a, 9]);
			for (let i = 0n; i < 9n; i++) out.u8(Number((n >> (8n * i)) & 255n));
		} else if (isTuple(v)) tuple(v);
		else if (v instanceof Map) {
			out.raw([0x7d, 0x28]);
			for (const [key, item] of v) {
				put(key);
				put(item);
			}
			out.u8(0x75);
		} else if ("global" in v) global(v.global);
		else if ("call" in v) {
			global(v.call);
			tuple(v.args);
			out.u8(0x52);
		} else if ("make" in v) {
			global(v.make);
			out.raw([0x29, 0x81]);
		} else if ("persistent" in v) {
			tuple(v.persistent);
			out.u8(0x51);
		} else out.raw(v.raw);
	};
	put(value);
	return out.u8(0x2e).bytes();
}

function isTuple(value: Python): value is readonly Python[] {
	return Array.isArray(value);
}
