import { expect } from "vitest";
import { openCheckpoint } from "../src/formats/open.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import type { ByteSource, Repository } from "../src/sources/source.ts";
import { fixture } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import type { Sample } from "./survive.ts";
import { writeGguf } from "./write-gguf.ts";

/**
 * Real files with a few bytes changed, cut or repeated, opened without reading or keeping more than the file has. Only headers
 * are damaged: behind them lie weights, of which any bytes are as good as others.
 */
export const containers: readonly Sample[] = [
	whole("gguf/all_types_v3.gguf", 1600),
	whole("safetensors/all_dtypes.safetensors", 1096),
	model("llama", ["attn_q", "attn_k", "attn_norm"]),
	model("gemma3", ["attn_q", "attn_k_norm", "post_ffw_norm"]),
	beside("gguf/", "split-00001-of-00003.gguf", 352, [
		"split-00002-of-00003.gguf",
		"split-00003-of-00003.gguf",
	]),
	beside("safetensors/sharded/", "model.safetensors.index.json", 170, [
		"model-00001-of-00002.safetensors",
		"model-00002-of-00002.safetensors",
	]),
];

/** Opens a checkpoint and reads all it has. */
async function attempt(from: Repository | ByteSource): Promise<void> {
	const checkpoint = await openCheckpoint(from);
	let bytes = 0;
	for (const tensor of checkpoint.tensors.values()) {
		const read = await tensor.read();
		expect(read.length).toBe(tensor.bytes);
		bytes += read.length;
	}
	expect(bytes).toBeLessThan(60_000);
	if (checkpoint.tokenizer?.kind === "gguf")
		expect([...checkpoint.tokenizer.metadata.values()]).not.toContain(
			undefined,
		);
	expect(() => JSON.stringify(checkpoint.config)).not.toThrow();
}

function damaged(
	name: string,
	headerBytes: number,
	bytes: Uint8Array<ArrayBuffer>,
	open: (bytes: Uint8Array) => Repository | ByteSource,
): Sample {
	return {
		name,
		read: [0.01, 0.5],
		leadsElsewhere: true,
		damage(random) {
			const mutant = mutate(bytes, headerBytes, random);
			return () => attempt(open(mutant));
		},
	};
}

function whole(path: string, headerBytes: number): Sample {
	return damaged(path, headerBytes, fixture(path).slice(), (bytes) =>
		bytesSource(bytes, path),
	);
}

/** A GGUF file of one layer, whose tensors are renamed and reordered when it is read. */
function model(architecture: string, modules: readonly string[]): Sample {
	const key = (name: string) => `${architecture}.${name}`;
	const tensor = (name: string) => ({ name, sizes: [8, 8], type: 0 });
	const bytes = writeGguf({
		keys: [
			["general.architecture", { string: architecture }],
			[key("embedding_length"), { u32: 8 }],
			[key("attention.head_count"), { u32: 2 }],
			[key("attention.head_count_kv"), { array: [{ u32: 2 }, { u32: 2 }] }],
			[key("attention.sliding_window_pattern"), { array: [{ bool: true }] }],
			[key("rope.scaling.type"), { string: "linear" }],
			[key("rope.scaling.factor"), { f32: 8 }],
			["tokenizer.ggml.tokens", { array: [{ string: "</s>" }] }],
			["tokenizer.ggml.eos_token_id", { u32: 0 }],
		],
		tensors: [
			{ name: "token_embd.weight", sizes: [32, 2], type: 2 },
			...modules.map((module) => tensor(`blk.0.${module}.weight`)),
			{ name: "rope_freqs.weight", sizes: [2], type: 0 },
		],
	});
	const headerBytes = bytes.length - (64 + 3 * 256 + 32);
	const name = `a small ${architecture} model`;
	return damaged(name, headerBytes, bytes, (mutant) =>
		bytesSource(mutant, name),
	);
}

/** A file that leads to others. */
function beside(
	folder: string,
	file: string,
	headerBytes: number,
	others: readonly string[],
): Sample {
	const files = Object.fromEntries(
		others.map((other) => [other, fixture(folder + other)]),
	);
	const config = new TextEncoder().encode("{}");
	return damaged(
		folder + file,
		headerBytes,
		fixture(folder + file).slice(),
		(bytes) =>
			bytesRepository({ "config.json": config, ...files, [file]: bytes }),
	);
}
