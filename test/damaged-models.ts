import { readFileSync } from "node:fs";
import { Graph } from "../src/engine/graph.ts";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { withVision } from "../src/formats/mmproj.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { readPte } from "../src/formats/pte.ts";
import { resolveOptions } from "../src/generate/resolve.ts";
import { createImages } from "../src/images.ts";
import { planModel } from "../src/plan.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import { createTokenizerFrom } from "../src/text/open.ts";
import { ggufNanoGemma3 } from "./gemma3-gguf.ts";
import { mutate } from "./mutate.ts";
import { type Json, mutateJson } from "./mutate-json.ts";
import { nanoPte } from "./nano-pte.ts";
import type { Sample } from "./survive.ts";

type Files = Readonly<Record<string, Uint8Array>>;

const json = (value: unknown) =>
	new TextEncoder().encode(JSON.stringify(value));
const read = (path: string) =>
	new Uint8Array(readFileSync(new URL(path, import.meta.url)));
const parsed = (bytes: Uint8Array): Json =>
	JSON.parse(new TextDecoder().decode(bytes));

/** Plans a model as far as that goes without its weights. */
async function plan(checkpoint: Checkpoint): Promise<void> {
	const { config, generationConfig, origins, processor = {} } = checkpoint;
	const { record, encoder, imageSizes, sizes } = await planModel(checkpoint);
	record(new Graph());
	encoder?.record(new Graph());
	if (imageSizes) createImages(imageSizes, processor, {}, origins.processor);
	if (checkpoint.tokenizer) createTokenizerFrom(checkpoint.tokenizer);
	resolveOptions(
		{},
		{ eos_token_id: config.eos_token_id, ...generationConfig },
		{
			vocabularySize: sizes.V,
			promptTokens: 1,
			contextTokens: Math.max(sizes.contextTokens, 2),
		},
		origins.generationConfig,
	);
}

const open = async (files: Files, file?: string) =>
	plan(await openCheckpoint(bytesRepository(files), file ? { file } : {}));

/** A JSON file of a folder: one of its values is damaged, or its text. */
function configuration(
	name: string,
	file: string,
	files: () => Promise<Files> | Files,
	main?: string,
	share = 1,
): Sample[] {
	let known: Promise<Files> | undefined;
	const filesOnce = () => {
		known ??= Promise.resolve(files());
		return known;
	};
	return [
		{
			name: `${name}, a value of ${file}`,
			share,
			async damage(random) {
				const all = await filesOnce();
				const mutant = mutateJson(parsed(all[file]!), random);
				return () => open({ ...all, [file]: json(mutant) }, main);
			},
		},
		{
			name: `${name}, the text of ${file}`,
			share: 0.3 * share,
			async damage(random) {
				const all = await filesOnce();
				const bytes = all[file]!.slice();
				const mutant = mutate(bytes, bytes.length, random);
				return () => open({ ...all, [file]: mutant }, main);
			},
		},
	];
}

const filesIn = (folder: string, names: readonly string[]): Files =>
	Object.fromEntries(names.map((name) => [name, read(`${folder}/${name}`)]));

const smollm3 = () =>
	filesIn("../models/nano-smollm3", [
		...["config.json", "generation_config.json", "model.safetensors"],
		...["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"],
	]);
const gemma3 = () =>
	filesIn("fixtures/nano-gemma3", [
		...["config.json", "generation_config.json", "model.safetensors"],
		"preprocessor_config.json",
	]);
const llama = () => {
	const files = smollm3();
	const config = {
		...parsed(files["config.json"]!),
		architectures: ["LlamaForCausalLM"],
		rope_scaling: {
			rope_type: "llama3",
			factor: 8,
			low_freq_factor: 1,
			high_freq_factor: 4,
			original_max_position_embeddings: 256,
		},
	};
	return { ...files, "config.json": json(config) };
};

/** The half of a model that sees, beside the other one. */
function projector(): Sample {
	let known: ReturnType<typeof halves> | undefined;
	return {
		name: "nano-gemma3, mmproj",
		share: 0.5,
		leadsElsewhere: true,
		async damage(random) {
			known ??= halves();
			const { text, mmproj, headerBytes } = await known;
			const mutant = mutate(mmproj, headerBytes, random);
			return async () =>
				plan(withVision(text, await openCheckpoint(bytesSource(mutant))));
		},
	};
}

async function halves() {
	const { text, mmproj } = await ggufNanoGemma3();
	const bytes = mmproj(false).slice();
	const checkpoint = await openCheckpoint(bytesSource(bytes));
	const tensorBytes = [...checkpoint.tensors.values()].reduce(
		(sum, tensor) => sum + tensor.bytes,
		0,
	);
	return {
		text: await openCheckpoint(bytesSource(text)),
		mmproj: bytes,
		headerBytes: bytes.length - tensorBytes,
	};
}

/** An ExecuTorch program: its description, or the graphs of its delegates. */
function program(part: "description" | "graphs"): Sample {
	let known: ReturnType<typeof programParts> | undefined;
	return {
		name: `nano-smollm3 as an ExecuTorch program, its ${part}`,
		share: 0.3,
		async damage(random) {
			known ??= programParts();
			const { files, bytes, ...extents } = await known;
			const [start, end] = extents[part];
			const mutant = mutate(bytes.slice(start), end - start, random);
			const damaged = Buffer.concat([bytes.subarray(0, start), mutant]);
			const whole = { ...files, "model.pte": new Uint8Array(damaged) };
			return () => open(whole, "model.pte");
		},
	};
}

/** The program, and where its parts lie: [start, end). */
async function programParts() {
	const files = await nanoPte({ named: true });
	const bytes = files["model.pte"]!;
	const { methods } = await readPte(bytesSource(bytes));
	const blobs = methods[0]!.delegates.map(({ data }) => data);
	const last = blobs.at(-1)!;
	return {
		files,
		bytes,
		description: [0, Number(new DataView(bytes.buffer).getBigUint64(16, true))],
		graphs: [blobs[0]!.offset, last.offset + last.bytes],
	} as const;
}

/** Configurations and what else models are planned from. */
export const models: readonly Sample[] = [
	...configuration("nano-smollm3", "config.json", smollm3),
	...configuration("nano-smollm3", "generation_config.json", smollm3),
	...configuration("nano-smollm3 as Llama", "config.json", llama),
	...configuration("nano-gemma3", "config.json", gemma3),
	...configuration("nano-gemma3", "preprocessor_config.json", gemma3),
	...configuration(
		"nano-smollm3 as an ExecuTorch program",
		"config.json",
		() => nanoPte({ named: true }),
		"model.pte",
		0.1,
	),
	projector(),
	program("description"),
	program("graphs"),
];
