import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	CheckpointError,
	type LoadProgress,
	Model,
	type Source,
	SourceError,
	UnsupportedError,
} from "../src/runtime/server.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import { type FileServer, serveFiles } from "./http-files.ts";

const FOLDER = "models/nano-smollm3";
const files = Object.fromEntries(
	readdirSync(FOLDER).map((name) => [
		name,
		new Uint8Array(readFileSync(`${FOLDER}/${name}`)),
	]),
);

let server: FileServer;
beforeAll(async () => {
	server = await serveFiles();
	for (const [name, bytes] of Object.entries(files))
		server.files.set(`nano/${name}`, { bytes, tag: '"1"' });
});
afterAll(() => server.close());

const story = async (source: Source, options = {}) => {
	await using model = await Model.load(source, { threads: 1, ...options });
	const { tokenIds } = await model.generate("Once upon a time", {
		doSample: false,
		maxNewTokens: 8,
	});
	return tokenIds;
};

describe("the same model", () => {
	const sources: Record<string, () => Source> = {
		"a folder": () => FOLDER,
		"a file of a folder": () => `${FOLDER}/model.safetensors`,
		"a file: URL": () =>
			new URL(`../${FOLDER}/model.safetensors`, import.meta.url),
		"the URL of a folder": () => `${server.url}nano/`,
		"the URL of a file": () =>
			`${server.url}nano/model.safetensors?download=true`,
		"files that were dropped": () =>
			Object.entries(files).map(([name, bytes]) => new File([bytes], name)),
		"an object of its own": () => bytesRepository(files),
	};
	it.each(Object.keys(sources))("loads from %s", async (name) => {
		expect(await story(sources[name]!())).toEqual([
			11, 463, 316, 256, 302, 656, 67, 501,
		]);
	});

	it("reports its progress from 0 to 100 percent", async () => {
		const events: LoadProgress[] = [];
		await story(FOLDER, { onProgress: (p: LoadProgress) => events.push(p) });
		expect(events[0]).toMatchObject({
			status: "initiate",
			loaded: 0,
			progress: 0,
		});
		expect(events.at(-1)).toMatchObject({ status: "ready", progress: 100 });
		const loaded = events
			.filter((e) => e.status === "progress" || e.status === "done")
			.map((e) => e.loaded);
		expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
		expect(events.find((e) => e.status === "done")!.loaded).toBe(
			events[0]!.total,
		);
	});
});

describe("a damaged model", () => {
	const config = JSON.parse(new TextDecoder().decode(files["config.json"]));
	const withConfig = (change: object) =>
		bytesRepository({
			...files,
			"config.json": new TextEncoder().encode(
				JSON.stringify({ ...config, ...change }),
			),
		});
	const load = (source: Source) => Model.load(source, { threads: 1 });

	it("says which tensor does not fit the configuration", async () => {
		await expect(load(withConfig({ vocab_size: 2048 }))).rejects.toThrow(
			"tensor model.embed_tokens.weight has shape [1024, 256], expected [2048, 256]",
		);
		await expect(
			load(withConfig({ num_hidden_layers: 5, no_rope_layers: null })),
		).rejects.toThrow(
			"tensor model.layers.4.input_layernorm.weight is missing",
		);
		await expect(
			load(withConfig({ num_hidden_layers: 2 ** 30 })),
		).rejects.toThrow("expected a whole number from 1 to 1024");
		await expect(load(withConfig({ hidden_size: 1e9 }))).rejects.toThrow(
			'key "head_dim" is 250000000, expected a whole number from 1 to 4096',
		);
	});

	it("of another architecture is refused by name", async () => {
		await expect(
			load(withConfig({ architectures: ["MambaForCausalLM"] })),
		).rejects.toThrow(UnsupportedError);
		await expect(
			load(withConfig({ architectures: ["MambaForCausalLM"] })),
		).rejects.toThrow(/MambaForCausalLM.*LlamaForCausalLM/);
	});

	it("with a tokenizer that knows too many tokens is found out when it is used", async () => {
		const tokenizer = JSON.parse(
			new TextDecoder().decode(files["tokenizer.json"]),
		);
		tokenizer.added_tokens.push({
			...tokenizer.added_tokens[0],
			id: 1024,
			content: "<|new|>",
		});
		const source = bytesRepository({
			...files,
			"tokenizer.json": new TextEncoder().encode(JSON.stringify(tokenizer)),
		});
		await using model = await load(source);
		await expect(model.generate("a <|new|> day")).rejects.toThrow(
			"do not belong together",
		);
	});

	it("with weights that are not numbers gives an error, not a text", async () => {
		const weights = files["model.safetensors"]!.slice();
		weights.fill(0xff, weights.length - 4096);
		await expect(
			(async () => {
				await using model = await load(
					bytesRepository({ ...files, "model.safetensors": weights }),
				);
				await model.generate("Once upon a time");
			})(),
		).rejects.toThrow(/finite|NaN/);
	});

	it("that is missing, or has no configuration, says what was expected", async () => {
		await expect(load("./nowhere")).rejects.toThrow(SourceError);
		await expect(load(new Uint8Array(100))).rejects.toThrow(CheckpointError);
		const { "config.json": _, ...rest } = files;
		await expect(load(bytesRepository(rest))).rejects.toThrow("config.json");
	});
});

it("a program ends by itself once its work is done, disposed of or not", () => {
	const program = `
		import { Model } from "./dist/runtime/server.js";
		const model = await Model.load(undefined, { threads: 2 });
		const { tokenIds } = await model.generate("Once", { maxNewTokens: 3, doSample: false });
		console.log(tokenIds.length);`;
	const { stdout, stderr, status } = spawnSync(
		process.execPath,
		["--input-type=module", "-e", program],
		{ encoding: "utf8", timeout: 30_000 },
	);
	expect({ stdout, stderr, status }).toEqual({
		stdout: "3\n",
		stderr: "",
		status: 0,
	});
});
