// What weights take in memory, held against the information that files have of them: bits of codes, and scales, zero points and
// tables as they are stored. Matrices are as wide as those of small models.
import { describe, expect, test } from "vitest";
import { layouts } from "../src/engine/layouts.ts";
import { UnsupportedError } from "../src/errors.ts";
import type { StoredTensor } from "../src/formats/checkpoint.ts";
import { ggmlTypes } from "../src/formats/gguf-types.ts";
import { collectWeights, planWeights } from "../src/weights.ts";
import { checkpointWith, storedBytes } from "./fixture.ts";
import {
	type BitsandbytesOptions,
	writeFourBit,
} from "./write-bitsandbytes.ts";

const N = 512;
const K = 2048;
const NAME = "w.weight";
/** Bytes in memory by bytes of information. */
const MOST = 1.02;

type Json = Readonly<Record<string, unknown>>;
type ScaleType = "F32" | "BF16" | "F16";

/** A matrix [N, K] as some tool stores it. */
interface Stored {
	readonly tensors: readonly StoredTensor[];
	readonly config?: Json;
	readonly metadata?: Json;
	/** Bytes of information. */
	readonly bytes: number;
}

/** A tensor of so many bytes, the first of which is `first`. */
function tensor(
	name: string,
	type: string,
	shape: readonly number[],
	bytes: number,
	first = 0,
): StoredTensor {
	const data = new Uint8Array(bytes);
	data[0] = first;
	return storedBytes(name, type, shape, data);
}

const scaleBytes = (type: ScaleType) => (type === "F32" ? 4 : 2);

interface Integers {
	readonly bits: number;
	/** Columns per scale, K where a row has one. */
	readonly group: number;
	readonly scale: ScaleType;
	readonly asymmetric?: boolean;
	/** Whether inputs are quantized to int8. */
	readonly dynamic?: boolean;
	/** Whether an index says the group of each column. */
	readonly reordered?: boolean;
}

function torchao(of: Integers): Stored {
	const { bits, group, scale, asymmetric = false, dynamic = false } = of;
	const groups = K / group;
	const scales = N * groups * scaleBytes(scale);
	const zeros = N * groups;
	const dtype = { F32: "float32", BF16: "bfloat16", F16: "float16" }[scale];
	return {
		tensors: [
			tensor("w._weight_qdata", "I8", [N, K], N * K),
			tensor("w._weight_scale", scale, [N, groups], scales),
			tensor("w._weight_zero_point", "I8", [N, groups], zeros, +asymmetric),
		],
		metadata: {
			[NAME]: JSON.stringify({
				_type: "IntxUnpackedToInt8Tensor",
				_data: {
					target_dtype: { _type: "torch.dtype", _data: `int${bits}` },
					block_size: [1, group],
					dtype: { _type: "torch.dtype", _data: dtype },
					activation_quantization: dynamic ? "int8_asym_per_token" : null,
				},
			}),
		},
		bytes: (N * K * bits) / 8 + scales + (asymmetric ? zeros : 0),
	};
}

function compressedTensors(
	weights: Json,
	tensors: readonly StoredTensor[],
	bytes: number,
	dynamic = false,
): Stored {
	const inputs = { num_bits: 8, type: "int", strategy: "token", dynamic: true };
	const group = {
		targets: ["Linear"],
		input_activations: dynamic ? inputs : null,
		weights,
	};
	return {
		tensors,
		bytes,
		config: {
			quantization_config: {
				quant_method: "compressed-tensors",
				version: "0.13.0",
				config_groups: { group },
			},
		},
	};
}

function packQuantized(of: Integers): Stored {
	const { bits, group, scale, asymmetric = false, dynamic, reordered } = of;
	const groups = K / group;
	const codes = (N * K * bits) / 8;
	const scales = N * groups * scaleBytes(scale);
	const zeros = (N * groups * bits) / 8;
	const shape = Int32Array.of(N, K);
	const index = Int32Array.from({ length: K }, (_, c) => c % groups);
	const weights = {
		num_bits: bits,
		type: "int",
		symmetric: !asymmetric,
		strategy: groups > 1 ? "group" : "channel",
		group_size: groups > 1 ? group : null,
	};
	const tensors = [
		tensor(`${NAME}_packed`, "I32", [N, (K * bits) / 32], codes),
		tensor(`${NAME}_scale`, scale, [N, groups], scales),
		storedBytes(`${NAME}_shape`, "I32", [2], new Uint8Array(shape.buffer)),
		...(asymmetric
			? [tensor(`${NAME}_zero_point`, "I32", [(N * bits) / 32, groups], zeros)]
			: []),
		...(reordered
			? [storedBytes(`${NAME}_g_idx`, "I32", [K], new Uint8Array(index.buffer))]
			: []),
	];
	const bytes =
		codes + scales + (asymmetric ? zeros : 0) + (reordered ? 4 * K : 0);
	return compressedTensors(weights, tensors, bytes, dynamic);
}

/** A byte per weight, integers or floats, with scales of one shape or another. */
function bytewise(
	type: "int" | "float",
	strategy: Json & { strategy: string },
	shape: readonly number[],
	scale: ScaleType,
	dynamic = false,
): Stored {
	const scales = shape.reduce((a, b) => a * b, 1) * scaleBytes(scale);
	return compressedTensors(
		{ num_bits: 8, type, symmetric: true, ...strategy },
		[
			tensor(NAME, type === "int" ? "I8" : "F8_E4M3", [N, K], N * K),
			tensor(`${NAME}_scale`, scale, shape, scales),
		],
		N * K + scales,
		dynamic,
	);
}

function plain(type: string, block: number, bytes: number): Stored {
	const size = (N * K * bytes) / block;
	return { tensors: [tensor(NAME, type, [N, K], size)], bytes: size };
}

function bitsandbytes(options: BitsandbytesOptions): Stored {
	const written = writeFourBit(NAME, [N, K], new Float32Array(N * K), options);
	const tensors = Object.entries(written).map(
		([name, { dtype, shape, data }]) => storedBytes(name, dtype, shape, data),
	);
	return {
		tensors,
		bytes: tensors
			.filter(({ name }) => !name.includes("quant_state"))
			.reduce((sum, { bytes }) => sum + bytes, 0),
	};
}

function llmInt8(): Stored {
	const tensors = [
		tensor(NAME, "I8", [N, K], N * K),
		tensor("w.SCB", "F32", [N], 4 * N),
	];
	return { tensors, bytes: N * K + 4 * N };
}

/** Of codes and scales as XNNPACK has them. */
function xnnpack(type: string, bits: number, groups: number): Stored {
	const scale = groups > 1 ? "BF16" : "F32";
	const scales = N * groups * scaleBytes(scale);
	const codes = (N * K * bits) / 8;
	return {
		tensors: [
			tensor(NAME, type, [N, K], codes),
			tensor(`${NAME}.scales`, scale, [N, groups], scales),
		],
		bytes: codes + scales,
	};
}

const scaleTypes: readonly ScaleType[] = ["F32", "BF16", "F16"];
const widths: readonly Integers[] = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((bits) =>
	[4, 8, 16, 32, 64, 128, 256, K].flatMap((group) =>
		scaleTypes.flatMap((scale) =>
			[false, true].map((asymmetric) => ({ bits, group, scale, asymmetric })),
		),
	),
);
const label = ({ bits, group, scale, asymmetric, ...flags }: Integers) =>
	[
		`int${bits} g${group} ${scale}`,
		...(asymmetric ? ["zero points"] : []),
		...Object.keys(flags),
	].join(", ");

const cases: (readonly [string, () => Stored])[] = [
	["F8_E4M3", () => plain("F8_E4M3", 1, 1)],
	["F8_E5M2", () => plain("F8_E5M2", 1, 1)],
	...widths.flatMap((of) =>
		[of, { ...of, dynamic: true }].map(
			(each) => [`torchao ${label(each)}`, () => torchao(each)] as const,
		),
	),
	...widths.flatMap((of) =>
		[of, { ...of, dynamic: true }].map(
			(each) =>
				[
					`compressed-tensors ${label(each)}`,
					() => packQuantized(each),
				] as const,
		),
	),
	...[3, 4, 8].flatMap((bits) =>
		[32, 128].map((group) => {
			const of = { bits, group, scale: "BF16", reordered: true } as const;
			return [
				`compressed-tensors ${label(of)}`,
				() => packQuantized(of),
			] as const;
		}),
	),
	...(["int", "float"] as const).flatMap((type) =>
		scaleTypes.flatMap((scale) =>
			(
				[
					[{ strategy: "tensor" }, [1]],
					[{ strategy: "channel" }, [N, 1]],
					[{ strategy: "group", group_size: 32 }, [N, K / 32]],
					[{ strategy: "group", group_size: 128 }, [N, K / 128]],
					[
						{ strategy: "block", block_structure: [128, 128] },
						[N / 128, K / 128],
					],
					[
						{ strategy: "block", block_structure: [16, 128] },
						[N / 16, K / 128],
					],
				] as const
			).map(
				([strategy, shape]) =>
					[
						`compressed-tensors ${type}8 ${Object.values(strategy).join(" ")}, ${scale}`,
						() => bytewise(type, strategy, shape, scale),
					] as const,
			),
		),
	),
	[
		"compressed-tensors W8A8",
		() => bytewise("int", { strategy: "channel" }, [N, 1], "BF16", true),
	],
	...(["nf4", "fp4"] as const).flatMap((type) =>
		[64, 256, 4096].flatMap((block) =>
			[false, true].map(
				(double) =>
					[
						`bitsandbytes ${type} ${block}${double ? " double" : ""}`,
						() => bitsandbytes({ type, block, double }),
					] as const,
			),
		),
	),
	["bitsandbytes LLM.int8", llmInt8],
	["XNNPACK int4 g32", () => xnnpack("qbint4", 4, K / 32)],
	["XNNPACK int4 per row", () => xnnpack("qcint4", 4, 1)],
	["XNNPACK int8 per row", () => xnnpack("qcint8", 8, 1)],
];

const seen = new Set<string>();

/** Expects so of the matrix, with inputs as they are defined and with such of int8. */
async function expectLean({ tensors, config, metadata, bytes }: Stored) {
	for (const inputs of ["defined", "int8"] as const) {
		const checkpoint = checkpointWith(tensors, config, metadata);
		const { declared } = collectWeights(checkpoint, (w) => w("w", [N, K]));
		const [plan] = await planWeights(checkpoint, declared, inputs);
		const { layout } = plan!.weight;
		seen.add(layout);
		expect(plan!.bytes / bytes, layout).toBeLessThanOrEqual(MOST);
	}
}

describe(`weights take at most ${MOST} times their information`, () => {
	test.each(cases)("%s", (_, make) => expectLean(make()));

	test.each([...ggmlTypes.values()])(
		"GGUF $name, where it is read",
		async ({ name, block, bytes }) => {
			try {
				await expectLean(plain(name, block, bytes));
			} catch (error) {
				if (!(error instanceof UnsupportedError)) throw error;
			}
		},
	);

	test("in every layout", () => {
		expect([...seen].sort()).toEqual(Object.keys(layouts).sort());
	});
});
