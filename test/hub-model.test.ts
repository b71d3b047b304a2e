import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { HubOptions, LoadProgress, SourceOptions } from "../src/index.ts";
import { loadTokenizer, Model, OptionError } from "../src/runtime/server.ts";
import * as web from "../src/runtime/web.ts";
import type { HubServer } from "./hub-server.ts";
import { serveNano } from "./nano-hub.ts";

let server: HubServer;
let folder: string;
beforeEach(async () => {
	server = await serveNano();
	folder = mkdtempSync(join(tmpdir(), "nibble-hub-model-"));
	vi.stubEnv("HF_ENDPOINT", server.url);
	vi.stubEnv("HF_HOME", folder);
	for (const name of ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"])
		vi.stubEnv(name, "");
});
afterEach(async () => {
	vi.unstubAllEnvs();
	rmSync(folder, { recursive: true });
	await server.close();
});

const PROMPT = "Once upon a time";
const greedy = { maxNewTokens: 6, doSample: false };

test("a model on the Hub loads by its name, and later without the network", async () => {
	const embedded = await Model.load(undefined, { threads: 1 });
	const expected = await embedded.generate(PROMPT, greedy);
	await embedded.dispose();

	const events: LoadProgress[] = [];
	const texts: string[] = [];
	for (const offline of ["", "1"]) {
		vi.stubEnv("HF_HUB_OFFLINE", offline);
		const model = await Model.load("nano/smol", {
			threads: 1,
			onProgress: (event) => events.push(event),
		});
		texts.push((await model.generate(PROMPT, greedy)).text);
		await model.dispose();
		if (!offline) server.log.length = 0;
	}
	expect(texts).toEqual([expected.text, expected.text]);
	expect(server.log).toEqual([]);
	const seen = events.map(({ status, file }) => `${status} ${file}`);
	expect(seen).toContain("download model.safetensors");
	const fetched = seen.filter((text) => text.startsWith("download"));
	expect(new Set(fetched).size).toBe(fetched.length);
	expect(seen.filter((text) => text.startsWith("ready"))).toHaveLength(2);
});

/** Everything that takes a source and options. */
const uses: [
	name: string,
	use: (source: string, options?: SourceOptions) => Promise<unknown>,
][] = [
	[
		"Model.load",
		async (source, options) => {
			const model = await Model.load(source, { ...options, threads: 1 });
			await model.dispose();
		},
	],
	["Model.inspect", Model.inspect],
	["Model.estimate", Model.estimate],
	[
		"Model.readTensor",
		async (source, options) => {
			const name = "model.norm.weight";
			for await (const _ of Model.readTensor(source, name, options));
		},
	],
	["loadTokenizer", loadTokenizer],
];

describe.each(uses)("%s", (_, use) => {
	const v1 = "f".repeat(40);
	beforeEach(() => {
		// Nobody answers there.
		vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:9");
		server.token = "hf_sesame";
		server.refs.set("v1", v1);
	});
	const ask = (hub: HubOptions, signal?: AbortSignal) =>
		use("nano/smol", {
			hub: { endpoint: server.url, token: "hf_sesame", ...hub },
			signal,
		});

	test("takes endpoint, token and revision", async () => {
		await ask({ revision: "v1" });
		expect(server.log.join("\n")).toContain(`resolve/${v1}/`);
		await expect(ask({ token: "other" })).rejects.toThrow(
			"the token may not read it",
		);
		await expect(ask({ revision: "v2" })).rejects.toThrow(
			"no such branch, tag or commit",
		);
		await expect(ask({ endpoint: "hub" })).rejects.toThrow(OptionError);
		await expect(ask({ token: "a\nb" })).rejects.toThrow(
			/^hub.token is no token/,
		);
	});

	test("takes the cache's folder, and whether to ask nobody", async () => {
		const cache = join(folder, "elsewhere");
		await expect(ask({ cache, localFilesOnly: true })).rejects.toThrow(
			"is not in the cache",
		);
		await ask({ cache });
		expect(existsSync(join(cache, "models--nano--smol/refs/main"))).toBe(true);
		server.log.length = 0;
		await ask({ cache, localFilesOnly: true });
		expect(server.log).toEqual([]);
	});

	test("keeps nothing where there is to be no cache", async () => {
		await ask({ cache: false });
		expect(existsSync(join(folder, "hub"))).toBe(false);
	});

	test("takes a signal", async () => {
		const reason = new Error("enough");
		await expect(ask({}, AbortSignal.abort(reason))).rejects.toBe(reason);
		expect(server.log).toEqual([]);
	});
});

test("chat templates come from the Hub, all of them", async () => {
	const bytes = new TextEncoder().encode(
		"{% for m in messages %}{{ m.content }}!{% endfor %}",
	);
	const path = "additional_chat_templates/loud.jinja";
	server.files.set(path, { bytes, lfs: false });
	const model = await Model.load("nano/smol", { threads: 1 });
	const chat = [{ role: "user" as const, content: PROMPT }];
	const { promptTokenIds } = await model.generate(chat, {
		...greedy,
		templateName: "loud",
	});
	expect(model.tokenizer.decode(promptTokenIds)).toBe(`${PROMPT}!`);
	await model.dispose();
});

test("pages have the same options, but no folders", async () => {
	server.token = "hf_sesame";
	const hub = { endpoint: server.url, token: "hf_sesame", cache: false };
	const { architecture } = await web.Model.inspect("nano/smol", { hub });
	expect(architecture).toBe("SmolLM3ForCausalLM");
	const tokenizer = await web.loadTokenizer("nano/smol", { hub });
	expect(tokenizer.encode(PROMPT).length).toBeGreaterThan(1);
	await expect(
		web.loadTokenizer("nano/smol", { hub: { ...hub, cache: folder } }),
	).rejects.toThrow("there are no folders here");
});

test("the environment says what options do not", async () => {
	server.token = "hf_sesame";
	server.refs.set("v1", "f".repeat(40));
	await expect(Model.inspect("nano/smol")).rejects.toThrow("needs a token");
	vi.stubEnv("HF_TOKEN", "hf_sesame");
	expect((await Model.inspect("nano/smol@v1")).name).toBe("nano/smol@v1");
	expect(existsSync(join(folder, "hub/models--nano--smol"))).toBe(true);
});
