import { describe, expect, it } from "vitest";
import { CheckpointError, UnsupportedError } from "../src/errors.ts";
import { readConfig } from "../src/models/config.ts";
import { llama } from "../src/models/llama.ts";
import { readRope } from "../src/models/rope.ts";
import { smollm3 } from "../src/models/smollm3.ts";

const rope = (values: Record<string, unknown>, d = 128) =>
	readRope(readConfig(values, "config.json"), d, 10_000);

/** Expected values: transformers 5.15, modeling_rope_utils.py, as the formulas of its documentation give them. */
describe("rotary frequencies", () => {
	const plain = (theta: number, d: number, j: number) =>
		theta ** ((-2 * j) / d);

	it("are powers of theta", () => {
		const { frequencies, attentionFactor } = rope({ rope_theta: 5e6 });
		expect(frequencies(1)).toHaveLength(64);
		expect(frequencies(1)[0]).toBe(1);
		expect(frequencies(1)[40]).toBeCloseTo(plain(5e6, 128, 40), 10);
		expect(attentionFactor).toBe(1);
	});

	it("of YaRN for SmolLM3 stretch from dimension 24 to 39 and sharpen attention by 1.069315", () => {
		const { frequencies, attentionFactor } = rope({
			rope_theta: 5e6,
			rope_scaling: {
				type: "yarn",
				factor: 2,
				original_max_position_embeddings: 65536,
			},
		});
		expect(attentionFactor).toBeCloseTo(1.069315, 6);
		const ratio = (j: number) => frequencies(1)[j]! / plain(5e6, 128, j);
		expect(ratio(24)).toBeCloseTo(1, 6);
		expect(ratio(25)).toBeLessThan(1);
		expect(ratio(38)).toBeGreaterThan(0.5);
		expect(ratio(39)).toBeCloseTo(0.5, 6);
		expect(ratio(63)).toBeCloseTo(0.5, 6);
	});

	it("of llama3 keep the fast, divide the slow and blend in between", () => {
		const { frequencies } = rope({
			rope_theta: 500_000,
			rope_scaling: {
				rope_type: "llama3",
				factor: 8,
				low_freq_factor: 1,
				high_freq_factor: 4,
				original_max_position_embeddings: 8192,
			},
		});
		const ratio = (j: number) => frequencies(1)[j]! / plain(500_000, 128, j);
		expect(ratio(0)).toBe(1);
		expect(ratio(63)).toBeCloseTo(1 / 8, 6);
		// Wavelength 2π · 500000^(64/128) = 4443, t = (8192 / 4443 − 1) / 3.
		const t = (8192 / (2 * Math.PI * Math.sqrt(500_000)) - 1) / 3;
		expect(ratio(32)).toBeCloseTo((1 - t) / 8 + t, 5);
	});

	it("of linear, dynamic, longrope and divisor scaling follow their formulas", () => {
		expect(
			rope({ rope_scaling: { type: "linear", factor: 4 } }).frequencies(1)[0],
		).toBe(0.25);
		const dynamic = rope({
			max_position_embeddings: 2048,
			rope_scaling: { type: "dynamic", factor: 2 },
		});
		expect(dynamic.dynamic).toBe(true);
		expect(dynamic.frequencies(100)[10]).toBeCloseTo(plain(10_000, 128, 10), 6);
		const stretched = 10_000 * (2 * 2 - 1) ** (128 / 126);
		expect(dynamic.frequencies(4096)[10]).toBeCloseTo(
			plain(stretched, 128, 10),
			6,
		);
		const long = rope(
			{
				max_position_embeddings: 131072,
				rope_scaling: {
					type: "longrope",
					short_factor: [1, 1],
					long_factor: [2, 4],
					original_max_position_embeddings: 4096,
				},
			},
			4,
		);
		expect([...long.frequencies(4096)]).toEqual([1, Math.fround(0.01)]);
		expect([...long.frequencies(4097)]).toEqual([0.5, Math.fround(0.0025)]);
		expect(long.attentionFactor).toBeCloseTo(
			Math.sqrt(1 + Math.log(32) / Math.log(4096)),
			10,
		);
		const divided = rope(
			{ rope_scaling: { rope_type: "divisors", divisors: [1, 8] } },
			4,
		);
		expect([...divided.frequencies(1)]).toEqual([1, Math.fround(0.00125)]);
	});

	it("take theta from rope_parameters too", () => {
		const { frequencies } = rope(
			{ rope_parameters: { rope_type: "default", rope_theta: 100 } },
			4,
		);
		expect(frequencies(1)[1]).toBeCloseTo(0.1, 7);
	});

	it("say what is missing or unknown", () => {
		expect(() => rope({ rope_scaling: { type: "linear" } })).toThrow(
			'key "factor" is missing',
		);
		expect(() => rope({ rope_scaling: { type: "su" } })).toThrow(
			UnsupportedError,
		);
		expect(() => rope({ rope_theta: "1e6" })).toThrow(CheckpointError);
	});
});

describe("configurations", () => {
	const sizes = {
		num_hidden_layers: 8,
		hidden_size: 64,
		num_attention_heads: 4,
		intermediate_size: 128,
		vocab_size: 100,
		rms_norm_eps: 1e-6,
	};

	it.each(Object.keys(sizes))(
		"without %s are an error that names it",
		(key) => {
			const { [key as keyof typeof sizes]: _, ...rest } = sizes;
			expect(() => llama.config(readConfig(rest, "config.json"))).toThrow(
				`"${key}" is missing`,
			);
		},
	);

	it("of SmolLM3 leave every fourth layer unrotated, or those that are listed", () => {
		const rotary = (more: object) =>
			smollm3.config(readConfig({ ...sizes, ...more }, "config.json")).rotary;
		const flags = (...unrotated: number[]) =>
			Array.from({ length: 8 }, (_, i) => !unrotated.includes(i));
		expect(rotary({})).toEqual(flags(3, 7));
		expect(rotary({ no_rope_layer_interval: 2 })).toEqual(flags(1, 3, 5, 7));
		const listed = {
			no_rope_layers: [0, 1, 1, 1, 1, 1, 1, 1],
			no_rope_layer_interval: 2,
		};
		expect(rotary(listed)).toEqual(flags(0));
		expect(() => rotary({ no_rope_layers: [1] })).toThrow("expected 8");
	});

	it("of SmolLM3 slide on unrotated layers where they are told to", () => {
		const { windows } = smollm3.config(
			readConfig(
				{ ...sizes, use_sliding_window: true, sliding_window: 16 },
				"config.json",
			),
		);
		expect(windows.map((w) => w ?? 0)).toEqual([0, 0, 0, 16, 0, 0, 0, 16]);
	});

	it("tie embeddings as their class does", () => {
		expect(llama.config(readConfig(sizes, "")).tied).toBe(false);
		expect(smollm3.config(readConfig(sizes, "")).tied).toBe(true);
	});
});
