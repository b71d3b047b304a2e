import { describe, expect, test } from "vitest";
import { UnsupportedError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { planModel } from "../src/plan.ts";
import { bytesSource } from "../src/sources/bytes.ts";
import {
	type WriteGguf,
	type WriteTensor,
	type WriteValue,
	writeGguf,
} from "./write-gguf.ts";

describe("a model's file", () => {
	const base: [string, WriteValue][] = [
		["general.architecture", { string: "llama" }],
		["llama.embedding_length", { u32: 16 }],
		["llama.attention.head_count", { u32: 2 }],
		["llama.attention.head_count_kv", { u32: 1 }],
	];
	const open = (file: WriteGguf) =>
		openCheckpoint(bytesSource(writeGguf(file), "m.gguf"));
	const configOf = async (
		keys: [string, WriteValue][],
		tensors: WriteTensor[] = [],
	) => (await open({ keys: [...base, ...keys], tensors })).config;
	const f32 = (values: readonly number[]) =>
		new Uint8Array(new Float32Array(values).buffer);

	test("has its query and key rows put in order, for reads of any range", async () => {
		const rows = Array.from({ length: 16 }, (_, i) => i);
		const data = new Uint8Array(rows.flatMap((row) => Array(18).fill(row)));
		const bias = f32(rows);
		const checkpoint = await open({
			keys: base,
			tensors: [
				{ name: "blk.7.attn_q.weight", sizes: [32, 16], type: 2, data },
				{ name: "blk.7.attn_k.weight", sizes: [32, 16], type: 2, data },
				{ name: "blk.7.attn_v.weight", sizes: [32, 16], type: 2, data },
				{ name: "blk.7.attn_q.bias", sizes: [16], type: 0, data: bias },
			],
		});
		// Two heads of 8 rows; one head of 16.
		const q = [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15];
		const k = [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15];
		for (const [projection, order] of Object.entries({ q, k, v: rows })) {
			const name = `model.layers.7.self_attn.${projection}_proj.weight`;
			const tensor = checkpoint.tensors.get(name)!;
			const canonical = Uint8Array.from(
				{ length: 288 },
				(_, i) => order[Math.floor(i / 18)]!,
			);
			expect(await tensor.read()).toEqual(canonical);
			for (let offset = 0; offset < 288; offset += 7)
				for (let end = offset; end <= 288; end += 5) {
					const memory = new Uint8Array(new SharedArrayBuffer(300)).fill(99);
					await tensor.read(offset, end - offset, memory.subarray(3));
					const expected = new Uint8Array(300).fill(99);
					expected.set(canonical.subarray(offset, end), 3);
					expect(Buffer.compare(memory, expected)).toBe(0);
				}
		}
		const stored = await checkpoint.tensors
			.get("model.layers.7.self_attn.q_proj.bias")!
			.read();
		expect([...new Float32Array(stored.slice().buffer)]).toEqual(q);
	});

	test("is read no more than twice for a part of a head", async () => {
		let bytes = 0;
		const file = writeGguf({
			keys: base,
			tensors: [{ name: "blk.0.attn_q.weight", sizes: [32, 64], type: 8 }],
		});
		const source = bytesSource(file);
		const { tensors } = await openCheckpoint({
			...source,
			read: (offset, length, into) => {
				bytes += length;
				return source.read(offset, length, into);
			},
		});
		const tensor = tensors.get("model.layers.0.self_attn.q_proj.weight")!;
		bytes = 0;
		for (let row = 0; row < 64; row += 4) await tensor.read(row * 34, 4 * 34);
		expect(bytes).toBeLessThan(2 * tensor.bytes);
		bytes = 0;
		await tensor.read();
		expect(bytes).toBe(tensor.bytes);
	});

	test.each([
		[
			"rows that its heads cannot share",
			{ name: "blk.0.attn_q.weight", sizes: [32, 18], type: 2 },
		],
		[
			"elements that have no bytes of their own",
			{ name: "blk.0.attn_q.bias", sizes: [256], type: 8 },
		],
	])("is refused with %s", async (_, tensor) => {
		await expect(open({ keys: base, tensors: [tensor] })).rejects.toThrow(
			"heads cannot share",
		);
	});

	test("is refused without its number of heads", async () => {
		const tensors = [{ name: "blk.0.attn_q.weight", sizes: [32, 16], type: 2 }];
		await expect(open({ keys: base.slice(0, 2), tensors })).rejects.toThrow(
			"attention.head_count is missing",
		);
	});

	test("of Gemma has one taken from its norm weights, for reads of any range", async () => {
		const values = [1.5, -2.25, 0.75, 1];
		const norm = (name: string) => ({
			name,
			sizes: [4],
			type: 0,
			data: f32(values),
		});
		const { tensors, config } = await open({
			keys: [
				["general.architecture", { string: "gemma3" }],
				["gemma3.block_count", { u32: 6 }],
				["gemma3.embedding_length", { u32: 4 }],
				["gemma3.attention.head_count", { u32: 1 }],
				["gemma3.attention.key_length", { u32: 256 }],
				["gemma3.attention.sliding_window", { u32: 512 }],
				["gemma3.rope.freq_base", { f32: 1e6 }],
				["gemma3.rope.scaling.type", { string: "linear" }],
				["gemma3.rope.scaling.factor", { f32: 8 }],
			],
			tensors: [
				"output_norm.weight",
				"blk.0.attn_norm.weight",
				"blk.0.attn_q_norm.weight",
				"blk.0.attn_k_norm.weight",
				"blk.0.post_attention_norm.weight",
				"blk.0.ffn_norm.weight",
				"blk.0.post_ffw_norm.weight",
				"blk.0.attn_q.weight",
			].map(norm),
		});
		expect([...tensors.keys()]).toEqual([
			"model.norm.weight",
			...[
				"input_layernorm",
				"self_attn.q_norm",
				"self_attn.k_norm",
				"post_attention_layernorm",
				"pre_feedforward_layernorm",
				"post_feedforward_layernorm",
				"self_attn.q_proj",
			].map((module) => `model.layers.0.${module}.weight`),
		]);
		const canonical = f32(values.map((value) => value - 1));
		for (const [name, tensor] of tensors) {
			const expected = name.includes("q_proj") ? f32(values) : canonical;
			for (let offset = 0; offset <= 16; offset++)
				for (let end = offset; end <= 16; end++) {
					const memory = new Uint8Array(new SharedArrayBuffer(20)).fill(7);
					const into = memory.subarray(1);
					const read = await tensor.read(offset, end - offset, into);
					expect(read.buffer).toBe(memory.buffer);
					expect([...read]).toEqual([...expected.subarray(offset, end)]);
					expect(memory[1 + end - offset]).toBe(7);
				}
		}
		expect(config).toMatchObject({
			model_type: "gemma3_text",
			head_dim: 256,
			query_pre_attn_scalar: 256,
			sliding_window: 512,
			sliding_window_pattern: 6,
			rope_theta: 1e6,
			rope_local_base_freq: 10_000,
			rope_scaling: { rope_type: "linear", factor: 8 },
			hidden_activation: "gelu_pytorch_tanh",
		});
	});

	test("says by its tensors whether the head is tied and what has a bias", async () => {
		const embedding = { name: "token_embd.weight", sizes: [16, 5], type: 1 };
		const head = { name: "output.weight", sizes: [16, 5], type: 1 };
		const bias = { name: "blk.0.ffn_up.bias", sizes: [4], type: 0 };
		expect(await configOf([], [embedding])).toMatchObject({
			vocab_size: 5,
			tie_word_embeddings: true,
			mlp_bias: false,
		});
		expect(await configOf([], [embedding, head, bias])).toMatchObject({
			tie_word_embeddings: false,
			mlp_bias: true,
		});
		expect(await configOf([])).not.toHaveProperty("tie_word_embeddings");
	});

	test.each<[string, [string, WriteValue][], unknown]>([
		["nothing", [], null],
		["none", [["llama.rope.scaling.type", { string: "none" }]], null],
		[
			"a factor of old",
			[["llama.rope.scale_linear", { f32: 4 }]],
			{ rope_type: "linear", factor: 4 },
		],
		[
			"YaRN",
			[
				["llama.rope.scaling.type", { string: "yarn" }],
				["llama.rope.scaling.factor", { f32: 2 }],
				["llama.rope.scaling.original_context_length", { u32: 65536 }],
				["llama.rope.scaling.yarn_attn_factor", { f32: 1.5 }],
				["llama.rope.scaling.yarn_beta_fast", { f32: 32 }],
				["llama.rope.scaling.yarn_beta_slow", { f32: 1 }],
			],
			{
				rope_type: "yarn",
				factor: 2,
				original_max_position_embeddings: 65536,
				attention_factor: 1.5,
				beta_fast: 32,
				beta_slow: 1,
			},
		],
	])("says how far it was stretched: %s", async (_, keys, scaling) => {
		expect((await configOf(keys)).rope_scaling).toEqual(scaling);
	});

	test("may bring a divisor for each rotary frequency", async () => {
		const divisors = [1, 1, 2.5, 8];
		const checkpoint = await open({
			keys: [...base, ["llama.rope.scaling.type", { string: "linear" }]],
			tensors: [
				{ name: "rope_freqs.weight", sizes: [4], type: 0, data: f32(divisors) },
			],
		});
		expect(checkpoint.config.rope_scaling).toEqual({
			rope_type: "divisors",
			divisors,
		});
		expect(checkpoint.tensors.size).toBe(0);
	});

	test("names the model it is, also where that cannot run", async () => {
		const mixtral = await configOf([["llama.expert_count", { u32: 8 }]]);
		expect(mixtral.model_type).toBe("mixtral");
		const keys: [string, WriteValue][] = [
			["general.architecture", { string: "t5" }],
		];
		const tensors = [{ name: "enc.attn_q.weight", sizes: [2, 3], type: 1 }];
		const other = await open({ keys, tensors });
		expect(other.config).toEqual({ model_type: "t5" });
		expect(other.tensors.get("enc.attn_q.weight")?.shape).toEqual([3, 2]);
	});

	test("may give a value per layer, if it is the same in all", async () => {
		const perLayer = (values: number[]): [string, WriteValue][] => [
			["llama.feed_forward_length", { array: values.map((u) => ({ u32: u })) }],
		];
		expect(await configOf(perLayer([40, 40]))).toMatchObject({
			intermediate_size: 40,
		});
		await expect(configOf(perLayer([40, 48]))).rejects.toThrow(
			UnsupportedError,
		);
	});

	test("is refused where a value has the wrong type or cannot be right", async () => {
		await expect(
			configOf([["llama.block_count", { string: "many" }]]),
		).rejects.toThrow('llama.block_count is "many", a number was expected');
		await expect(
			configOf([["llama.attention.value_length", { u32: 4 }]]),
		).rejects.toThrow("attention.value_length is 4, keys have 8");
	});

	test("is what errors name, and no file that does not exist", async () => {
		const planned = async (keys: [string, WriteValue][]) =>
			planModel(await open({ keys: [...base, ...keys] }));
		await expect(planned([])).rejects.toThrow(
			'm.gguf: metadata, in config.json\'s words: key "num_hidden_layers" is missing',
		);
		const size = { u32: 4 };
		await expect(
			planned([
				["llama.block_count", size],
				["llama.attention.head_count_kv", { u32: 3 }],
			]),
		).rejects.toThrow("llama.attention.head_count_kv");
		await expect(
			planned([
				["llama.block_count", size],
				["llama.feed_forward_length", size],
				["llama.vocab_size", { u32: 2 ** 31 }],
			]),
		).rejects.toThrow(
			/^m.gguf: metadata, in config.json's words: key "vocab_size" is 2147483648/,
		);
	});

	test("of an architecture that is not known says which one it is", async () => {
		const other = open({
			keys: [["general.architecture", { string: "qwen2" }]],
		});
		await expect(planModel(await other)).rejects.toThrow(
			/^m.gguf: metadata.*: architectures is undefined, and model_type "qwen2", expected .*LlamaForCausalLM/,
		);
	});

	test("ends its texts with every token that is an end by name", async () => {
		const words = ["<eos>", "a", "</s>", "b", "<end_of_turn>"];
		const { generationConfig } = await open({
			keys: [
				[
					"tokenizer.ggml.tokens",
					{ array: words.map((text) => ({ string: text })) },
				],
				["tokenizer.ggml.bos_token_id", { u32: 2 }],
				["tokenizer.ggml.eos_token_id", { u32: 4 }],
				["tokenizer.ggml.eot_token_id", { u32: 3 }],
				["tokenizer.ggml.padding_token_id", { u32: 2 ** 32 - 1 }],
				["general.sampling.temp", { f32: 0.5 }],
				["general.sampling.top_k", { i32: 64 }],
			],
		});
		expect(generationConfig).toEqual({
			bos_token_id: 2,
			eos_token_id: [4, 3, 0, 2],
			do_sample: true,
			temperature: 0.5,
			top_k: 64,
		});
	});

	test("ends them with what looks like an end, whatever its type", async () => {
		const words = ["<eos>", "</s>", "<end_of_turn>"];
		const { generationConfig } = await open({
			keys: [
				[
					"tokenizer.ggml.tokens",
					{ array: words.map((text) => ({ string: text })) },
				],
				[
					"tokenizer.ggml.token_type",
					{ array: [3, 1, 4].map((type) => ({ i32: type })) },
				],
			],
		});
		expect(generationConfig).toEqual({ eos_token_id: [0, 1, 2] });
	});
});
