import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LoadProgress } from "../src/index.ts";
import { loadTokenizer, Model } from "../src/runtime/server.ts";
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

test("options say what the environment does not", async () => {
	server.token = "hf_sesame";
	server.refs.set("v1", "f".repeat(40));
	await expect(Model.inspect("nano/smol")).rejects.toThrow("needs a token");
	vi.stubEnv("HF_TOKEN", "hf_sesame");
	expect((await Model.inspect("nano/smol@v1")).name).toBe("nano/smol@v1");
	expect(
		(await loadTokenizer("nano/smol")).encode(PROMPT).length,
	).toBeGreaterThan(1);
	vi.stubEnv("HF_TOKEN", "");
	const model = await Model.load("nano/smol", {
		threads: 1,
		hub: { token: "hf_sesame", revision: "v1", cache: false },
	});
	expect(model.info.name).toBe("nano/smol@v1");
	await model.dispose();
});
