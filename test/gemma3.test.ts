import { describe, expect, it } from "vitest";
import { pageBytes } from "../src/engine/layouts.ts";
import { Memory } from "../src/engine/memory.ts";
import { PAGE_UNIT_BYTES, PagePool, Sequence } from "../src/engine/pages.ts";
import { readConfig } from "../src/models/config.ts";
import { gemma3 } from "../src/models/gemma3.ts";
import { Model, UnsupportedError } from "../src/runtime/server.ts";
import {
	golden,
	inFloat32,
	largestDifference,
	nanoGemma3,
	renamedWeights,
} from "./nano-gemma3.ts";

const texts = golden.filter((c) => c.image === undefined);

describe("nano-gemma3 against transformers", () => {
	it.each(texts)("$name: ids, logits and greedy tokens", async (c) => {
		await using model = await Model.load(nanoGemma3());
		expect(model.tokenizer.encode(c.text, { addSpecialTokens: false })).toEqual(
			c.input_ids,
		);
		const rows = await model.logits(c.input_ids, { all: true });
		expect(largestDifference(rows.at(-1)!, c.last_logits)).toBeLessThan(3e-3);
		for (const [t, ids] of c.top5_ids.entries())
			for (const [rank, id] of ids.entries())
				expect(rows[t]![id]! - c.top5_logits[t]![rank]!).toBeCloseTo(0, 2);
		const { tokenIds, text } = await model.generate(
			{ ids: c.input_ids },
			{ doSample: false, maxNewTokens: 40 },
		);
		expect(tokenIds).toEqual(c.greedy_ids);
		expect(text).toBe(c.greedy_text);
	});

	it.each(texts)("$name: closer where nothing is rounded", async (c) => {
		await using model = await Model.load(nanoGemma3(inFloat32));
		const [logits] = await model.logits(c.input_ids);
		expect(largestDifference(logits!, c.last_logits)).toBeLessThan(1e-4);
	});

	it("gives the same bits from any number of banks and threads and any chunking", async () => {
		const { input_ids } = texts.at(-1)!;
		const logits = async (
			banks: number,
			threads: number,
			chunkTokens: number,
		) => {
			const options = { banks, threads, chunkTokens };
			await using model = await Model.load(nanoGemma3(), options);
			return (await model.logits(input_ids.slice(0, 200)))[0];
		};
		const expected = await logits(1, 1, 128);
		for (const [banks, threads, chunk] of [
			[2, 1, 1],
			[3, 2, 7],
			[1, 3, 64],
			[4, 3, 100],
		] as const)
			expect(
				await logits(banks, threads, chunk),
				`${banks} banks, ${threads} threads, chunks of ${chunk}`,
			).toEqual(expected);
	});

	it("finds the weights by the names that any version of transformers gives them", async () => {
		const { input_ids } = texts[0]!;
		await using model = await Model.load(nanoGemma3());
		const expected = await model.logits(input_ids);
		const renames: ((name: string) => string)[] = [
			(name) =>
				`model.${name.replace("language_model.model.", "language_model.")}`,
			(name) => name.replace("language_model.", ""),
		];
		for (const rename of renames) {
			const weights = { "model.safetensors": renamedWeights(rename) };
			await using renamed = await Model.load(nanoGemma3((c) => c, weights));
			expect(await renamed.logits(input_ids)).toEqual(expected);
		}
	});

	it("reads the configuration of a text model, and rotary settings as newer versions spell them", async () => {
		const { input_ids } = texts[0]!;
		await using model = await Model.load(nanoGemma3());
		const expected = await model.logits(input_ids);
		const textOnly = nanoGemma3(({ text_config, torch_dtype }) => ({
			...text_config,
			torch_dtype,
			architectures: ["Gemma3ForCausalLM"],
		}));
		await using text = await Model.load(textOnly);
		expect(await text.logits(input_ids)).toEqual(expected);
		const newer = nanoGemma3(({ text_config, ...outer }) => {
			const { rope_scaling, rope_theta, rope_local_base_freq, ...rest } =
				text_config;
			return {
				...outer,
				torch_dtype: undefined,
				dtype: "bfloat16",
				text_config: {
					...rest,
					sliding_window_pattern: undefined,
					rope_parameters: {
						full_attention: { ...(rope_scaling as object), rope_theta },
						sliding_attention: {
							rope_type: "default",
							rope_theta: rope_local_base_freq,
						},
					},
				},
			};
		});
		await using spelled = await Model.load(newer);
		expect(await spelled.logits(input_ids)).toEqual(expected);
	});
});

describe("configuration", () => {
	const read = (config: Record<string, unknown>) =>
		gemma3.config(readConfig(config, "config.json"));

	it("refuses sizes that no model has", () => {
		const sizes = { head_dim: 4096, num_hidden_layers: 1024 };
		expect(read({ text_config: sizes })).toMatchObject({ d: 4096, L: 1024 });
		for (const [key, most] of Object.entries(sizes))
			expect(() => read({ text_config: { ...sizes, [key]: 1e9 } })).toThrow(
				`key "${key}" is 1000000000, expected a whole number from 1 to ${most}`,
			);
	});

	it("fills in what the published 4B model leaves out", () => {
		const c = read({
			torch_dtype: "bfloat16",
			text_config: {
				hidden_size: 2560,
				intermediate_size: 10240,
				model_type: "gemma3_text",
				num_hidden_layers: 34,
				rope_scaling: { factor: 8.0, rope_type: "linear" },
				sliding_window: 1024,
			},
		});
		expect(c).toMatchObject({ H: 8, K: 4, d: 256, V: 262_208, tied: true });
		expect(c).toMatchObject({ embedScale: 50.5, scale: 1 / 16, eps: 1e-6 });
		expect(c.contextTokens).toBe(131_072);
		const full = c.windows.flatMap((w, i) => (w === undefined ? [i] : []));
		expect(full).toEqual([5, 11, 17, 23, 29]);
		expect(c.windows[0]).toBe(1024);
		const second = (i: number) => c.ropes[i]!.frequencies(0)[1]!;
		expect(second(5)).toBeCloseTo(1e6 ** (-1 / 128) / 8, 6);
		expect(second(4)).toBeCloseTo(1e4 ** (-1 / 128), 6);
	});

	it.each([
		[640, 25.25],
		[1152, 34],
		[2560, 50.5],
		[3840, 62],
		[5376, 73.5],
	])("scales embeddings of %d in bfloat16 by %d", (hidden_size, scale) => {
		const c = read({ hidden_size, torch_dtype: "bfloat16" });
		expect(c.embedScale).toBe(scale);
		expect(read({ hidden_size }).embedScale).toBe(Math.sqrt(hidden_size));
	});

	it.each([
		{ hidden_activation: "silu" },
		{ final_logit_softcapping: 30 },
		{ attn_logit_softcapping: 50 },
		{ use_bidirectional_attention: true },
	])("refuses %o", (config) => {
		expect(() => read(config)).toThrow(UnsupportedError);
	});
});

describe("keys and values of 32k tokens", () => {
	const [contextTokens, chunk] = [32_768, 128];
	const m270 = { full: 3, sliding: 15, window: 512, kvHeads: 1, d: 256 };
	const nano = { full: 1, sliding: 5, window: 64, kvHeads: 2, d: 64 };

	const bytesOf = (model: typeof nano, positions: number) => {
		const page = pageBytes("f32", model.kvHeads, model.d);
		return (
			(contextTokens / 64) * (model.full * page + PAGE_UNIT_BYTES) +
			Math.ceil(positions / 64) * (model.sliding * page + PAGE_UNIT_BYTES)
		);
	};

	/** Bytes taken while a text grows to 32k tokens, `steps` after each other and over again. */
	function taken(
		{ full, sliding, window, kvHeads, d }: typeof nano,
		steps: readonly number[],
	): number {
		const page = pageBytes("f32", kvHeads, d);
		const memory = new Memory(false);
		const before = memory.usedBytes;
		const sequence = new Sequence(
			[
				new PagePool({ window: 0, bankBytes: [full * page] }, [memory]),
				new PagePool({ window, bankBytes: [sliding * page] }, [memory]),
			],
			{ contextTokens, rows: chunk },
		);
		for (let i = 0; sequence.length < contextTokens; i++) {
			const step = steps[i % steps.length]!;
			const length = Math.min(sequence.length + step, contextTokens);
			sequence.reserve(length);
			sequence.length = length;
		}
		return memory.usedBytes - before;
	}

	it.each([
		{ name: "270m", model: m270 },
		{ name: "nano", model: nano },
	])(
		"of $name are what the formula says: sliding layers keep a window and a chunk",
		({ model }) => {
			expect(taken(model, [chunk])).toBe(bytesOf(model, model.window + chunk));
			// Wherever steps begin, at most a page more.
			const most = bytesOf(model, model.window + chunk + 63);
			for (const steps of [[1], [chunk, 1, 1, 1], [7, 100], [64, 1]])
				expect(taken(model, steps)).toBeLessThanOrEqual(most);
		},
	);

	it("of 270m would be 1.2 GB if every layer kept all", () => {
		const all = bytesOf({ ...m270, full: 18, sliding: 0 }, 0);
		expect(all).toBeGreaterThan(1.2e9);
		expect(taken(m270, [chunk])).toBeLessThan(230e6);
	});

	it("are estimated before loading", async () => {
		const longer = nanoGemma3(({ text_config, ...outer }) => ({
			...outer,
			text_config: { ...text_config, max_position_embeddings: contextTokens },
		}));
		const { cacheBytes } = await Model.estimate(longer, { chunkTokens: chunk });
		expect(cacheBytes).toBe(bytesOf(nano, nano.window + chunk + 63));
	});
});
