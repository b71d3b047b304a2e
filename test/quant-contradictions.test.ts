import { describe, expect, test } from "vitest";
import { CheckpointError, UnsupportedError } from "../src/errors.ts";
import type { StoredTensor } from "../src/formats/checkpoint.ts";
import { findMatrix } from "../src/quant/scheme.ts";
import { checkpointWith, storedBytes } from "./fixture.ts";

const ITEM: Record<string, number> = { F32: 4, I32: 4, BF16: 2, I64: 8 };

/** A tensor of zeros, or of the given bytes. */
function tensor(
	name: string,
	type: string,
	shape: readonly number[],
	bytes?: ArrayBufferView,
): StoredTensor {
	const size = shape.reduce((a, b) => a * b, 1) * (ITEM[type] ?? 1);
	const data = bytes
		? new Uint8Array(bytes.buffer as ArrayBuffer).slice()
		: new Uint8Array(size);
	return storedBytes(name, type, shape, data);
}

/** Finds and reads w.weight in every way; returns what goes wrong. */
async function complaint(
	tensors: readonly StoredTensor[],
	config: Record<string, unknown> = {},
	metadata: Record<string, unknown> = {},
): Promise<Error> {
	const checkpoint = checkpointWith(tensors, config, metadata);
	try {
		const found = await findMatrix(checkpoint, "w.weight");
		if (found) {
			for (const plane of found.planes) await plane.read(0, found.rows);
			await found.decode(0, found.rows);
		}
	} catch (error) {
		expect(error).toSatisfy(
			(e) => e instanceof CheckpointError || e instanceof UnsupportedError,
		);
		return error as Error;
	}
	throw new Error("nothing went wrong");
}

const nan = Float32Array.of(1, Number.NaN, 1, 1);

describe("torchao", () => {
	const metadata = (data: Record<string, unknown> = {}, type?: string) => ({
		"w.weight": JSON.stringify({
			_type: type ?? "IntxUnpackedToInt8Tensor",
			_data: {
				target_dtype: { _type: "torch.dtype", _data: "int4" },
				block_size: [1, 32],
				dtype: { _type: "torch.dtype", _data: "float32" },
				activation_quantization: null,
				...data,
			},
		}),
	});
	const codes = tensor("w._weight_qdata", "I8", [2, 64]);
	const scale = tensor("w._weight_scale", "F32", [2, 2]);
	const zeros = tensor("w._weight_zero_point", "I8", [2, 2]);
	const all = [codes, scale, zeros];

	test("nothing is wrong with the tensor that the cases change", async () => {
		const message = complaint(all, {}, metadata());
		await expect(message).rejects.toThrow("nothing went wrong");
	});

	test.each<[string, StoredTensor[], object, RegExp]>([
		["scale missing", [codes], metadata(), /its scale is missing/],
		["codes missing", [scale], metadata(), /its qdata is missing/],
		["description missing", all, {}, /metadata does not describe/],
		[
			"description cut",
			all,
			{ "w.weight": '{"_type": "Intx' },
			/not valid JSON/,
		],
		[
			"stored twice",
			[...all, tensor("w.weight", "F32", [2, 64])],
			metadata(),
			/also a plain tensor/,
		],
		[
			"block that does not divide",
			all,
			metadata({ block_size: [1, 48] }),
			/\[1,48\] does not divide 64/,
		],
		["block of 0", all, metadata({ block_size: [1, 0] }), /does not divide/],
		[
			"block of -32",
			all,
			metadata({ block_size: [1, -32] }),
			/does not divide/,
		],
		[
			"block of several rows",
			all,
			metadata({ block_size: [2, 32] }),
			/expected \[1, columns/,
		],
		["no block", all, metadata({ block_size: null }), /expected \[1, columns/],
		[
			"scale of another shape",
			[codes, tensor("w._weight_scale", "F32", [2, 1])],
			metadata(),
			/is F32 \[2,1\], expected .* \[2,2\]/,
		],
		[
			"scale of integers",
			[codes, tensor("w._weight_scale", "I32", [2, 2])],
			metadata(),
			/is I32/,
		],
		[
			"codes of floats",
			[tensor("w._weight_qdata", "F32", [2, 64]), scale],
			metadata(),
			/is F32 \[2,64\], expected I8/,
		],
		[
			"codes in three dimensions",
			[tensor("w._weight_qdata", "I8", [2, 8, 8]), scale],
			metadata(),
			/is I8 \[2,8,8\]/,
		],
		[
			"codes without rows",
			[tensor("w._weight_qdata", "I8", [0, 64]), scale],
			metadata(),
			/without weights/,
		],
		[
			"codes past int4",
			[
				tensor("w._weight_qdata", "I8", [2, 64], new Int8Array(128).fill(9)),
				scale,
			],
			metadata(),
			/element 0 of w._weight_qdata is 9, expected int4, −8 to 7/,
		],
		[
			"zero points of another shape",
			[codes, scale, tensor("w._weight_zero_point", "I8", [2, 1])],
			metadata(),
			/zero_point is I8 \[2,1\]/,
		],
		[
			"NaN scale",
			[codes, tensor("w._weight_scale", "F32", [2, 2], nan)],
			metadata(),
			/element 1 of w._weight_scale is NaN/,
		],
		["a dtype of codes", all, metadata({ dtype: "int8" }), /dtype int8/],
		[
			"a dtype called constructor",
			all,
			metadata({ dtype: "constructor" }),
			/dtype constructor/,
		],
		[
			"float codes",
			all,
			metadata({ target_dtype: { _data: "float8" } }),
			/codes of type float8/,
		],
		[
			"other activations",
			all,
			metadata({ activation_quantization: "int4" }),
			/activation quantization "int4"/,
		],
		[
			"a class for GPUs",
			all,
			metadata({}, "Int4TilePackedTo4dTensor"),
			/stored as torchao's Int4TilePackedTo4dTensor/,
		],
		[
			"inputs quantized by what the tensor says",
			all,
			metadata(
				{ act_quant_kwargs: { _type: "QuantizeTensorToInt8Kwargs" } },
				"Int8Tensor",
			),
			/w.weight is stored as Int8Tensor with act_quant_kwargs; inputs can be/,
		],
		[
			"inputs quantized with a scale that is stored",
			[...all, tensor("w._weight_act_quant_scale", "F32", [1])],
			metadata({}, "Int8Tensor"),
			/w.weight is stored as Int8Tensor with act_quant_scale; inputs can be/,
		],
		[
			"the same in the names of 0.14",
			[...all, tensor("w.weight:act_quant_zero_point", "I8", [1])],
			metadata(),
			/w.weight is stored as IntxUnpackedToInt8Tensor with act_quant_zero_point/,
		],
		[
			"inputs that are scaled before",
			[...all, tensor("w._weight_act_pre_scale", "F32", [64])],
			metadata({ act_quant_kwargs: null }, "Int8Tensor"),
			/w.weight is stored as Int8Tensor with act_pre_scale; inputs can be/,
		],
		[
			"an unsigned range",
			all,
			metadata({ quant_min: 0, quant_max: 15 }, "AffineQuantizedTensor"),
			/codes from 0 to 15/,
		],
		[
			"float zero points",
			all,
			metadata({ zero_point_domain: "FLOAT" }, "AffineQuantizedTensor"),
			/zero points that are no integers/,
		],
	])("%s", async (_, tensors, described, message) => {
		const error = await complaint(tensors, {}, { ...described });
		expect(error.message).toMatch(message);
	});
});

describe("compressed-tensors", () => {
	const config = (
		weights: Record<string, unknown> | null = {},
		group: Record<string, unknown> = {},
		top: Record<string, unknown> = {},
	) => ({
		quantization_config: {
			config_groups: {
				group_0: {
					targets: ["Linear"],
					weights: weights && {
						num_bits: 4,
						strategy: "group",
						group_size: 32,
						symmetric: true,
						...weights,
					},
					...group,
				},
			},
			...top,
		},
	});
	const packed = tensor("w.weight_packed", "I32", [2, 8]);
	const scale = tensor("w.weight_scale", "F32", [2, 2]);
	const shape = tensor("w.weight_shape", "I64", [2], BigInt64Array.of(2n, 64n));
	const all = [packed, scale, shape];
	const sized = (rows: bigint, cols: bigint) =>
		tensor("w.weight_shape", "I64", [2], BigInt64Array.of(rows, cols));
	const index = (value: (i: number) => number) =>
		tensor(
			"w.weight_g_idx",
			"I32",
			[64],
			Int32Array.from({ length: 64 }, (_, i) => value(i)),
		);
	const targets = (...list: unknown[]) => config({}, { targets: list });
	const staticInputs = (strategy: string) =>
		config(
			{},
			{ input_activations: { num_bits: 8, strategy, dynamic: false } },
		);

	test("nothing is wrong with the tensor that the cases change", async () => {
		const message = complaint(all, config());
		await expect(message).rejects.toThrow("nothing went wrong");
	});

	test.each<[string, StoredTensor[], object, RegExp]>([
		["scale missing", [packed, shape], config(), /weight_scale not/],
		["codes missing", [scale, shape], config(), /weight_packed and weight not/],
		["shape missing", [packed, scale], config(), /weight_shape is missing/],
		[
			"packed and whole",
			[...all, tensor("w.weight", "I8", [2, 64])],
			config(),
			/both w.weight and w.weight_packed/,
		],
		["no configuration", all, {}, /no quantization_config/],
		[
			"configuration of another kind",
			all,
			{ quantization_config: [] },
			/no quantization_config/,
		],
		[
			"groups that are no groups",
			all,
			{ quantization_config: { config_groups: { a: 4 } } },
			/is 4, expected a list of targets/,
		],
		[
			"ignored, yet quantized",
			all,
			config({}, {}, { ignore: ["re:w"] }),
			/ignores it/,
		],
		[
			"not targeted",
			all,
			targets("re:model.*", "lm_head"),
			/no group of quantization_config targets it/,
		],
		["no weights in its group", all, config(null), /describes none/],
		["9 bits", all, config({ num_bits: 9 }), /num_bits is 9/],
		["0 bits", all, config({ num_bits: 0 }), /num_bits is 0/],
		[
			"8 bits where there are 4",
			all,
			config({ num_bits: 8 }),
			/is \[2,8\], expected \[2, 16\] words/,
		],
		[
			"a group that does not divide",
			all,
			config({ group_size: 48 }),
			/per 48 columns, which do not divide 64/,
		],
		[
			"a group of 64 where scales say 32",
			all,
			config({ group_size: 64 }),
			/weight_scale is F32 \[2,2\], expected .* \[2,1\]/,
		],
		["no group size", all, config({ group_size: null }), /group_size is null/],
		[
			"a strategy unheard of",
			all,
			config({ strategy: "attn_head" }),
			/strategy attn_head/,
		],
		[
			"asymmetric without zero points",
			all,
			config({ symmetric: false }),
			/weight_zero_point is missing/,
		],
		[
			"symmetric with zero points",
			[...all, tensor("w.weight_zero_point", "I32", [1, 2])],
			config(),
			/says symmetric/,
		],
		[
			"zero points of another shape",
			[...all, tensor("w.weight_zero_point", "I32", [2, 2])],
			config({ symmetric: false }),
			/zero_point is I32 \[2,2\]/,
		],
		[
			"negative sizes",
			[packed, scale, sized(-2n, -64n)],
			config(),
			/without weights/,
		],
		[
			"2^62 columns",
			[packed, scale, sized(2n, 1n << 62n)],
			config(),
			/is \[2,8\], expected/,
		],
		[
			"other rows",
			[packed, scale, sized(3n, 64n)],
			config(),
			/is \[2,8\], expected \[3, 8\]/,
		],
		[
			"NaN scale",
			[packed, tensor("w.weight_scale", "F32", [2, 2], nan), shape],
			config(),
			/element 1 of w.weight_scale is NaN/,
		],
		[
			"a column in group 7",
			[...all, index(() => 7)],
			config(),
			/puts column 0 into group 7 of 2/,
		],
		[
			"groups of unequal size",
			[...all, index(() => 1)],
			config(),
			/puts 0 columns into group 0, expected 32/,
		],
		[
			"fp4",
			[tensor("w.weight_packed", "U8", [2, 32]), scale, shape],
			config({ type: "float" }),
			/U8 words of float codes/,
		],
		[
			"fp8 that is int8",
			[tensor("w.weight", "I8", [2, 64]), scale],
			config({ type: "float", num_bits: 8 }),
			/expected F8_E4M3/,
		],
		[
			"int4 past its range",
			[tensor("w.weight", "I8", [2, 64], new Int8Array(128).fill(-9)), scale],
			config(),
			/element 0 of w.weight is -9, expected int4, −8 to 7/,
		],
		[
			"static activations per token",
			all,
			staticInputs("token"),
			/8 bits per token, static; what is computed/,
		],
		[
			"static activations without a scale",
			all,
			staticInputs("tensor"),
			/says static inputs, but w.input_scale is missing/,
		],
		[
			"a scale of inputs that is none",
			[...all, tensor("w.input_scale", "F32", [1], new Float32Array(1))],
			staticInputs("tensor"),
			/w.input_scale is 0, expected a positive number/,
		],
		[
			"a zero point of inputs that is no int8",
			[
				...all,
				tensor("w.input_scale", "F32", [1], Float32Array.of(1)),
				tensor("w.input_zero_point", "I32", [1], Int32Array.of(1)),
			],
			staticInputs("tensor"),
			/w.input_zero_point is I32 \[1\], expected I8/,
		],
		[
			"a pattern with syntax of its own",
			all,
			targets("re:(?!x)w"),
			/pattern "\(\?!x\)w" is not read/,
		],
		["many targets", all, targets(...Array(5000).fill("x")), /5000 targets/],
		[
			"a pattern that is none",
			all,
			targets("re:(?P<x>w)"),
			/pattern .* is not read/,
		],
		[
			"tiles of -1",
			all,
			config({ strategy: "block", block_structure: [-1, 8] }),
			/block_structure is -1,8/,
		],
	])("%s", async (_, tensors, configuration, message) => {
		const error = await complaint(tensors, { ...configuration });
		expect(error.message).toMatch(message);
	});

	test("a group index of −1 or of consecutive runs says nothing", async () => {
		for (const value of [() => -1, (i: number) => i >> 5]) {
			const checkpoint = checkpointWith([...all, index(value)], config());
			const found = await findMatrix(checkpoint, "w.weight");
			expect(found?.arrangement).toBeUndefined();
		}
	});

	test("an exact target wins over a pattern, a pattern over a class", async () => {
		const group = (targets: string[], group_size: number) => ({
			targets,
			weights: { num_bits: 4, strategy: "group", group_size },
		});
		const checkpoint = checkpointWith(all, {
			quantization_config: {
				config_groups: {
					a: group(["w"], 32),
					b: group(["re:.*w$"], 64),
					c: group(["Linear"], 16),
				},
			},
		});
		const found = await findMatrix(checkpoint, "w.weight");
		expect(found?.block).toBe(32);
	});

	test("fp8: per channel, per tensor, per tile", async () => {
		const codes = Uint8Array.from({ length: 6 }, (_, i) => 0x38 + i); // 1, 1.125, …
		const weight = tensor("w.weight", "F8_E4M3", [2, 3], codes);
		const decoded = async (
			strategy: string,
			shape: number[],
			scales: number[],
		) => {
			const scale = tensor(
				"w.weight_scale",
				"F32",
				shape,
				Float32Array.from(scales),
			);
			const weights = {
				type: "float",
				num_bits: 8,
				strategy,
				block_structure: [1, 2],
			};
			const checkpoint = checkpointWith([weight, scale], config(weights));
			const found = await findMatrix(checkpoint, "w.weight");
			expect(found?.scheme).toMatch(/^compressed-tensors FP8/);
			return [...(await found!.decode(0, 2))];
		};
		expect(await decoded("channel", [2, 1], [2, 4])).toEqual([
			2, 2.25, 2.5, 5.5, 6, 6.5,
		]);
		expect(await decoded("tensor", [1], [2])).toEqual([
			2, 2.25, 2.5, 2.75, 3, 3.25,
		]);
		expect(await decoded("block", [2, 2], [1, 2, 4, 8])).toEqual([
			1, 1.125, 2.5, 5.5, 6, 13,
		]);
	});
});

describe("bitsandbytes", () => {
	const state = (changes: Record<string, unknown> = {}) => {
		const json = new TextEncoder().encode(
			JSON.stringify({
				quant_type: "nf4",
				blocksize: 64,
				dtype: "bfloat16",
				shape: [2, 96],
				...changes,
			}),
		);
		return tensor(
			"w.weight.quant_state.bitsandbytes__nf4",
			"U8",
			[json.length],
			json,
		);
	};
	const codes = tensor("w.weight", "U8", [96, 1]);
	const absmax = tensor("w.weight.absmax", "F32", [3]);
	const map = tensor("w.weight.quant_map", "F32", [16]);
	const nested = { nested_blocksize: 256, nested_offset: 0.5 };

	test("nothing is wrong with the tensor that the cases change", async () => {
		const message = complaint([codes, absmax, map, state()]);
		await expect(message).rejects.toThrow("nothing went wrong");
	});

	test.each<[string, StoredTensor[], RegExp]>([
		["no state", [codes, absmax, map], /quant_state.* not/],
		["no codes", [absmax, map, state()], /w.weight is missing/],
		["no absmax", [codes, map, state()], /absmax is missing/],
		["no map", [codes, absmax, state()], /quant_map is missing/],
		[
			"another shape",
			[codes, absmax, map, state({ shape: [2, 128] })],
			/96 bytes, expected 128/,
		],
		[
			"2^62 elements",
			[codes, absmax, map, state({ shape: [2 ** 31, 2 ** 31] })],
			/96 bytes, expected/,
		],
		["no shape", [codes, absmax, map, state({ shape: null })], /shape is null/],
		[
			"three sizes",
			[codes, absmax, map, state({ shape: [2, 8, 12] })],
			/expected \[rows, columns\]/,
		],
		[
			"blocks of 7",
			[codes, absmax, map, state({ blocksize: 7 })],
			/blocksize is 7/,
		],
		[
			"blocks of 2^40",
			[codes, absmax, map, state({ blocksize: 2 ** 40 })],
			/blocksize/,
		],
		[
			"blocks of 128",
			[codes, absmax, map, state({ blocksize: 128 })],
			/absmax is F32 \[3\], expected F32 \[2\]/,
		],
		[
			"a dtype of codes",
			[codes, absmax, map, state({ dtype: "int8" })],
			/dtype is "int8"/,
		],
		[
			"nested without its tables",
			[codes, tensor("w.weight.absmax", "U8", [3]), map, state(nested)],
			/nested_quant_map is missing/,
		],
		[
			"nested, scales in f32",
			[codes, absmax, map, state(nested)],
			/absmax is F32 \[3\], expected U8/,
		],
		[
			"an offset that is no number",
			[codes, absmax, map, state({ nested_offset: "1" })],
			/nested_offset is "1"/,
		],
		[
			"NaN scale",
			[
				codes,
				tensor("w.weight.absmax", "F32", [3], nan.slice(0, 3)),
				map,
				state(),
			],
			/element 1 of w.weight.absmax is NaN/,
		],
		[
			"infinite map",
			[
				codes,
				absmax,
				tensor(
					"w.weight.quant_map",
					"F32",
					[16],
					new Float32Array(16).fill(Infinity),
				),
				state(),
			],
			/quant_map is Infinity/,
		],
		[
			"a state that is no JSON",
			[
				codes,
				absmax,
				map,
				tensor("w.weight.quant_state.bitsandbytes__nf4", "U8", [4]),
			],
			/not valid JSON/,
		],
		[
			"int8 without codes",
			[tensor("w.SCB", "F32", [2])],
			/w.SCB is there, w.weight not/,
		],
		[
			"int8 in a GPU's order",
			[
				tensor("w.SCB", "F32", [2]),
				tensor("w.weight", "I8", [2, 96]),
				tensor("w.weight_format", "U8", [], Uint8Array.of(2)),
			],
			/weight_format is 2/,
		],
		[
			"int8 that is f16",
			[tensor("w.SCB", "F32", [2]), tensor("w.weight", "F32", [2, 96])],
			/expected I8/,
		],
	])("%s", async (_, tensors, message) => {
		const error = await complaint(tensors);
		expect(error.message).toMatch(message);
	});
});

test("integers without a scheme are no weights", async () => {
	const error = await complaint([tensor("w.weight", "I8", [2, 64])]);
	expect(error.message).toMatch(/w.weight is stored as I8 \[2,64\]/);
});
