import { describe, expect, test } from "vitest";
import { createEngine } from "../src/engine/engine.ts";
import { compileKernels } from "../src/engine/kernels.ts";
import { Memory } from "../src/engine/memory.ts";
import { createPool } from "../src/engine/pool.ts";
import { fillWeights } from "../src/fill.ts";
import type { StoredTensor } from "../src/formats/checkpoint.ts";
import { findMatrix } from "../src/quant/scheme.ts";
import { spawn } from "../src/runtime/threads.ts";
import { collectWeights, planWeights } from "../src/weights.ts";
import { checkpointWith, storedBytes } from "./fixture.ts";
import { modulesOf } from "./reference/builds.ts";
import { Operands } from "./reference/operands.ts";
import { roundHalfEven } from "./reference/quantize.ts";

// One layer whose input is quantized, run by the engine, against what its definition says: input and weights are
// quantized, dequantized and multiplied as floats.

const TOKENS = 16;
const ROWS = 40;
const COLS = 144;

const f32 = Math.fround;
const clamp = (q: number) => Math.min(Math.max(q, -128), 127);

/** Dequantized inputs, by what compressed-tensors calls the way to quantize them. */
const inputs = {
	"per token, symmetric": {
		args: { strategy: "token", dynamic: true, symmetric: true },
		round(x: Float32Array) {
			const s = f32(Math.max(...x.map(Math.abs)) / 127.5);
			return [...x].map((v) => s * roundHalfEven(clamp(f32(v / s))));
		},
	},
	"per token, asymmetric": {
		args: { strategy: "token", dynamic: true, symmetric: false },
		round(x: Float32Array) {
			const least = Math.min(...x, 0);
			const s = f32(f32(Math.max(...x, 0) - least) / 255);
			const z = clamp(-128 - roundHalfEven(f32(least / s)));
			const q = (v: number) => clamp(roundHalfEven(f32(v * f32(1 / s))) + z);
			return [...x].map((v) => s * (q(v) - z));
		},
	},
	"static, symmetric": {
		args: { strategy: "tensor", dynamic: false, symmetric: true },
		scale: 0.015625,
		round(x: Float32Array) {
			return [...x].map((v) => 0.015625 * roundHalfEven(clamp(v / 0.015625)));
		},
	},
	"static, asymmetric": {
		args: { strategy: "tensor", dynamic: false, symmetric: false },
		scale: 0.03125,
		zero: -47,
		round(x: Float32Array) {
			const q = (v: number) => roundHalfEven(clamp(v / 0.03125 - 47));
			return [...x].map((v) => 0.03125 * (q(v) + 47));
		},
	},
} as const;

const weights = {
	"int8 per row": { num_bits: 8, strategy: "channel", symmetric: true },
	"int8 per row, zero points": {
		num_bits: 8,
		strategy: "channel",
		symmetric: false,
	},
	"int8 in groups of 48": {
		num_bits: 8,
		strategy: "group",
		group_size: 48,
		symmetric: true,
	},
	"int4 per row, zero points": {
		num_bits: 4,
		strategy: "channel",
		symmetric: false,
	},
	"int4 in groups of 48, zero points": {
		num_bits: 4,
		strategy: "group",
		group_size: 48,
		symmetric: false,
	},
	"int4 in groups of 16": {
		num_bits: 4,
		strategy: "group",
		group_size: 16,
		symmetric: true,
	},
} as const;

const bytes = (values: ArrayBufferView) =>
	new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

describe.each(Object.entries(inputs))("inputs %s", (_, input) => {
	test.each(Object.entries(weights))("weights %s", async (_, args) => {
		const o = new Operands(1);
		const half = 2 ** (args.num_bits - 1);
		const groups = "group_size" in args ? COLS / args.group_size : 1;
		const integers = (count: number) =>
			Int8Array.from(o.integers(count, -half, half - 1));
		const table = o.gaussians(TOKENS * COLS, 1.5);
		const stored = (
			name: string,
			type: string,
			shape: number[],
			values: ArrayBufferView,
		): StoredTensor => storedBytes(name, type, shape, bytes(values));
		const scales = o.gaussians(ROWS * groups, 0.2 / half);
		const tensors = [
			stored("table.weight", "F32", [TOKENS, COLS], table),
			stored("layer.weight", "I8", [ROWS, COLS], integers(ROWS * COLS)),
			stored("layer.weight_scale", "F32", [ROWS, groups], scales),
		];
		if (!args.symmetric) {
			const zeros = integers(ROWS * groups);
			tensors.push(
				stored("layer.weight_zero_point", "I8", [ROWS, groups], zeros),
			);
		}
		if ("scale" in input) {
			const scale = Float32Array.of(input.scale);
			tensors.push(stored("layer.input_scale", "F32", [1], scale));
		}
		if ("zero" in input) {
			const zero = Int8Array.of(input.zero);
			tensors.push(stored("layer.input_zero_point", "I8", [1], zero));
		}
		const checkpoint = checkpointWith(tensors, {
			quantization_config: {
				config_groups: {
					group_0: {
						targets: ["Linear"],
						weights: args,
						input_activations: { num_bits: 8, type: "int", ...input.args },
					},
				},
			},
		});

		const { weights, declared } = collectWeights(checkpoint, (w) => ({
			table: w("table", [TOKENS, COLS]),
			layer: w("layer", [ROWS, COLS]),
		}));
		const planned = await planWeights(checkpoint, declared);
		const memories = [new Memory(false)];
		const modules = modulesOf("simd").map((build) =>
			compileKernels(build, false),
		);
		const machine = { modules, memories: memories.map((m) => m.memory) };
		const pool = await createPool(machine, 1, spawn);
		await fillWeights(planned, memories, pool);
		const engine = await createEngine({
			pool,
			memories,
			record: (graph) =>
				graph.linear(graph.outputs(graph.embed(weights.table)), {
					weight: weights.layer,
				}),
			limits: {
				rows: TOKENS,
				outputs: TOKENS,
				sequences: 1,
				contextTokens: 64,
			},
		});
		const tokens = [...Array(TOKENS).keys()];
		const sequence = engine.createSequence();
		const feeds = [{ sequence, tokens, outputs: TOKENS }];
		const got = await engine.step(feeds, (rows) =>
			rows.map((row) => row.slice()),
		);

		const layer = (await findMatrix(checkpoint, "layer.weight"))!;
		const w = await layer.decode(0, ROWS);
		for (const t of tokens) {
			const x = input.round(table.subarray(t * COLS, (t + 1) * COLS));
			for (let j = 0; j < ROWS; j++) {
				let want = 0;
				for (let c = 0; c < COLS; c++) want += x[c]! * w[j * COLS + c]!;
				expect(Math.abs(got[t]![j]! - want)).toBeLessThan(2e-5);
			}
		}
	});
});
