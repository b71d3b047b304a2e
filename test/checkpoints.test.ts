import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { openPath } from "../src/runtime/files.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import type { Repository } from "../src/sources/source.ts";
import { fixture } from "./fixture.ts";
import { brainToFloat, floatToHalf } from "./reference/half.ts";
import {
	sharedBytes,
	sharedRepository,
	sharedSource,
	testWith,
} from "./shared.ts";
import { writeSafetensors } from "./write-safetensors.ts";

const NANO = "models/nano-smollm3";
const NANO_GGUF = "models/nano-smollm3-gguf/nano-smollm3-";

async function read(checkpoint: Checkpoint, name: string) {
	const tensor = checkpoint.tensors.get(name);
	if (!tensor) throw new Error(`no tensor ${name}`);
	return (await tensor.read()).slice().buffer;
}

describe("GGUF and safetensors of one model", () => {
	testWith(NANO, "have the same names, shapes and values", async () => {
		const original = await openCheckpoint(sharedRepository(NANO));
		const converted = await openCheckpoint(
			sharedSource(`${NANO_GGUF}F16.gguf`),
		);
		expect([...converted.tensors.keys()].sort()).toEqual(
			[...original.tensors.keys()].sort(),
		);
		let values = 0;
		for (const [name, tensor] of original.tensors) {
			const other = converted.tensors.get(name);
			expect(other?.shape, name).toEqual(tensor.shape);
			const brains = new Uint16Array(await read(original, name));
			const buffer = await read(converted, name);
			const expected =
				tensor.shape.length === 1
					? new Float32Array(Array.from(brains, brainToFloat))
					: Uint16Array.from(brains, (bits) => floatToHalf(brainToFloat(bits)));
			expect(other?.type).toBe(tensor.shape.length === 1 ? "F32" : "F16");
			const found =
				tensor.shape.length === 1
					? new Float32Array(buffer)
					: new Uint16Array(buffer);
			expect(Buffer.compare(bytesOf(found), bytesOf(expected)), name).toBe(0);
			values += expected.length;
		}
		expect(values).toBe(2_623_744);
	});

	testWith(NANO, "say the same of the model", async () => {
		const { config } = await openCheckpoint(sharedRepository(NANO));
		for (const type of ["F16", "Q8_0", "Q4_0", "Q4_K_M"]) {
			const gguf = await openCheckpoint(
				sharedSource(`${NANO_GGUF}${type}.gguf`),
			);
			const { eos_token_id, rms_norm_eps, head_dim, ...same } = gguf.config;
			expect(config).toMatchObject(same);
			expect(eos_token_id).toEqual([1004, 993]);
			expect(rms_norm_eps).toBe(Math.fround(1e-6));
			expect(head_dim).toBe(64);
			expect(gguf.generationConfig).toEqual({
				bos_token_id: 992,
				eos_token_id: [1004, 993],
				pad_token_id: 996,
			});
		}
	});
});

describe("a Hugging Face folder", () => {
	testWith(NANO, "brings its config and tokenizer files", async () => {
		const checkpoint = await openCheckpoint(sharedRepository(NANO));
		expect(checkpoint).toMatchObject({
			container: "safetensors",
			config: { model_type: "smollm3" },
			generationConfig: { temperature: 0.6 },
			tokenizer: {
				kind: "files",
				tokenizer: { model: { type: "BPE" } },
				chatTemplate: expect.stringContaining("enable_thinking"),
			},
		});
	});

	testWith(
		"data/TinyStories-656K",
		"may tie tensors in its metadata",
		async () => {
			const checkpoint = await openCheckpoint(
				sharedRepository("data/TinyStories-656K"),
			);
			const embedding = await read(checkpoint, "model.embed_tokens.weight");
			const head = await read(checkpoint, "lm_head.weight");
			expect(embedding.byteLength).toBe(2048 * 128 * 4);
			expect(
				Buffer.compare(new Uint8Array(embedding), new Uint8Array(head)),
			).toBe(0);
		},
	);

	describe("brings the chat templates of a folder beside it", () => {
		const text = (text: string) => new TextEncoder().encode(text);
		const named = "additional_chat_templates";
		const files: Record<string, Uint8Array> = {
			"model.safetensors": writeSafetensors({}),
			"config.json": text("{}"),
			"tokenizer.json": text("{}"),
			"chat_template.jinja": text("plain"),
			[`${named}/tool_use.jinja`]: text("tools"),
			[`${named}/rag.jinja`]: text("documents"),
			[`${named}/notes.txt`]: text("none"),
			[`${named}/old/rag.jinja`]: text("none"),
		};
		const templatesOf = async (from: Repository, file?: string) => {
			const checkpoint = await openCheckpoint(from, file ? { file } : {});
			const { tokenizer } = checkpoint;
			await checkpoint.close();
			if (tokenizer?.kind !== "files") throw new Error("no files");
			const { chatTemplate, namedChatTemplates } = tokenizer;
			return { chatTemplate, ...namedChatTemplates };
		};
		const all = { chatTemplate: "plain", tool_use: "tools", rag: "documents" };

		test("in memory, and below a folder of a repository", async () => {
			expect(await templatesOf(bytesRepository(files))).toEqual(all);
			const below = Object.fromEntries(
				Object.entries(files).map(([name, bytes]) => [`v1/${name}`, bytes]),
			);
			const elsewhere = { ...below, [`${named}/top.jinja`]: text("none") };
			expect(
				await templatesOf(bytesRepository(elsewhere), "v1/model.safetensors"),
			).toEqual(all);
		});

		test("on disk, where only that folder is listed", async () => {
			const folder = mkdtempSync(join(tmpdir(), "nibble-templates-"));
			try {
				for (const [name, bytes] of Object.entries(files)) {
					mkdirSync(dirname(join(folder, name)), { recursive: true });
					writeFileSync(join(folder, name), bytes);
				}
				const from = (await openPath(folder)) as Repository;
				expect(await templatesOf(from)).toEqual(all);
				const names = await from.list(named);
				expect(names?.every((name) => name.startsWith(`${named}/`))).toBe(true);
				expect(await from.list("none")).toEqual([]);
			} finally {
				rmSync(folder, { recursive: true });
			}
		});

		test("where files cannot be listed, the one for tools", async () => {
			const from = { ...bytesRepository(files), list: async () => undefined };
			const { rag: _, ...usual } = all;
			expect(await templatesOf(from)).toEqual(usual);
		});

		test("but not of a folder that has too many", async () => {
			const many = Object.fromEntries(
				Array.from({ length: 65 }, (_, i) => [`${named}/${i}.jinja`, text("")]),
			);
			await expect(
				templatesOf(bytesRepository({ ...files, ...many })),
			).rejects.toThrow("holds 67 chat templates, at most 64 are read");
		});
	});

	test("without config.json is an error that names it", async () => {
		const repository = bytesRepository({
			"model.safetensors": fixture("safetensors/all_dtypes.safetensors"),
		});
		await expect(openCheckpoint(repository)).rejects.toThrow(
			"config.json is missing",
		);
	});
});

describe("stories260K.gguf", () => {
	testWith(
		"data/stories260K",
		"is the model its author published",
		async () => {
			const checkpoint = await openCheckpoint(
				sharedSource("data/stories260K/stories260K.gguf"),
			);
			expect(checkpoint.config).toMatchObject({
				model_type: "llama",
				vocab_size: 512,
				hidden_size: 64,
				intermediate_size: 172,
				num_hidden_layers: 5,
				num_attention_heads: 8,
				num_key_value_heads: 4,
				head_dim: 8,
				max_position_embeddings: 2048,
				rope_theta: 10_000,
				rope_scaling: null,
				tie_word_embeddings: false,
				bos_token_id: 1,
				eos_token_id: [2],
			});
			expect(checkpoint.config).not.toHaveProperty("pad_token_id");

			// The author's own file: a header of seven i32, then all layers of one kind after another. Its query rows are in
			// the order that rotates adjacent pairs, 2j + b where the canonical order has b·d/2 + j.
			const file = sharedBytes("data/stories260K/stories260K.bin");
			const published = new Float32Array(file.slice(28).buffer);
			const start = 512 * 64 + 5 * 64;
			for (const layer of [0, 4]) {
				const name = `model.layers.${layer}.self_attn.q_proj.weight`;
				const found = new Float32Array(await read(checkpoint, name));
				for (let row = 0; row < 64; row++) {
					const head = row - (row % 8);
					const [b, j] = [Math.floor((row % 8) / 4), row % 4];
					const from = start + layer * 64 * 64 + (head + 2 * j + b) * 64;
					expect(found.subarray(row * 64, row * 64 + 64)).toEqual(
						published.subarray(from, from + 64),
					);
				}
			}
		},
	);
});

describe("a vocabulary without a model", () => {
	testWith("data/gguf-vocab", "opens", async () => {
		const checkpoint = await openCheckpoint(
			sharedSource("data/gguf-vocab/ggml-vocab-gpt-2.gguf"),
		);
		expect(checkpoint.tensors.size).toBe(0);
		expect(checkpoint.config).toMatchObject({ model_type: "gpt2" });
		expect(checkpoint.generationConfig.eos_token_id).toEqual([50256]);
		if (checkpoint.tokenizer?.kind !== "gguf") throw new Error("no vocabulary");
		const { metadata } = checkpoint.tokenizer;
		expect(metadata.get("tokenizer.ggml.pre")).toBe("gpt-2");
		const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
		expect(tokens).toHaveLength(50257);
		expect(tokens[50256]).toBe("<|endoftext|>");
		expect(metadata.get("tokenizer.ggml.tokens")).toBe(tokens);
		expect(checkpoint.metadata["tokenizer.ggml.merges"]).toEqual({
			elements: 50000,
			type: "string",
		});
	});
});

describe("choosing the file", () => {
	const gguf = fixture("gguf/all_types_v3.gguf");

	test("takes the only GGUF model, without its vision tower", async () => {
		const checkpoint = await openCheckpoint(
			bytesRepository({
				"README.md": new Uint8Array(3),
				"tiny.gguf": gguf,
				"mmproj-tiny.gguf": gguf,
			}),
		);
		expect(checkpoint.container).toBe("gguf");
	});

	test("asks which of two", async () => {
		const repository = bytesRepository({ "a.gguf": gguf, "b.gguf": gguf });
		await expect(openCheckpoint(repository)).rejects.toThrow(
			"2 models (a.gguf, b.gguf)",
		);
		const checkpoint = await openCheckpoint(repository, { file: "b.gguf" });
		expect(checkpoint.tensors.size).toBe(19);
	});

	test("says what is missing", async () => {
		await expect(openCheckpoint(bytesRepository({}))).rejects.toThrow(
			"holds no checkpoint",
		);
		await expect(
			openCheckpoint(bytesRepository({}), { file: "x.gguf" }),
		).rejects.toThrow("no x.gguf");
	});

	test("names what the first bytes are not", async () => {
		const html = new TextEncoder().encode("<!doctype html><title>Sign in");
		await expect(
			openCheckpoint(bytesSource(html, "model.gguf")),
		).rejects.toThrow(
			"model.gguf: neither safetensors nor GGUF nor a PyTorch file: 29 bytes that start with 3c 21",
		);
		await expect(
			openCheckpoint(bytesSource(new Uint8Array(0), "empty")),
		).rejects.toThrow("0 bytes that start with nothing");
	});

	test("closes what it opened, after an error and with the checkpoint", async () => {
		const log: string[] = [];
		const source = (bytes: Uint8Array, name: string) => ({
			...bytesSource(bytes, name),
			close: async () => void log.push(name),
		});
		const checkpoint = await openCheckpoint(source(gguf, "whole"));
		expect(log).toEqual([]);
		await checkpoint.close();
		await checkpoint.close();
		const truncated = source(gguf.subarray(0, 5000), "truncated");
		await expect(openCheckpoint(truncated)).rejects.toThrow("truncated");
		expect(log).toEqual(["whole", "truncated"]);
	});
});

function bytesOf(array: Float32Array | Uint16Array): Uint8Array {
	return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
