import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { COMMIT, type HubServer } from "./hub-server.ts";
import { serveNano } from "./nano-hub.ts";
import { isBuilt, nibble } from "./nibble.ts";

const V1 = "f".repeat(40);

let server: HubServer;
let folder: string;
beforeEach(async () => {
	server = await serveNano();
	server.token = "hf_sesame";
	server.refs.set("v1", V1);
	folder = mkdtempSync(join(tmpdir(), "nibble-cli-hub-"));
});
afterEach(async () => {
	rmSync(folder, { recursive: true });
	await server.close();
});

/** With an environment that says nothing of the Hub but where nobody answers. */
const run = (args: readonly string[], input = "") =>
	nibble(args, input, {
		HF_ENDPOINT: "http://127.0.0.1:9",
		HF_HOME: folder,
		HF_TOKEN: "",
		HF_HUB_CACHE: "",
		HF_HUB_OFFLINE: "",
	});

const commands: [name: string, args: string[], input: string][] = [
	["generate", ["--ids", "1,2", "--max-new-tokens", "1"], ""],
	["chat", ["--no-thinking", "--max-new-tokens", "4"], "Hi\n"],
	["logits", ["--ids", "1,2"], ""],
	["inspect", [], ""],
	["tokenize", [], "Hi\n"],
	["bench", ["--prompt-tokens", "2", "--new-tokens", "2", "--repeat", "1"], ""],
];

describe.runIf(isBuilt)("a model on the Hub", () => {
	test.each(commands)("%s", async (name, args, input) => {
		const cache = join(folder, "kept");
		const given = ["--model", "nano/smol", "--endpoint", server.url];
		const offline = ["--cache", cache, "--offline", "--revision", "v1"];

		const empty = await run([name, ...args, ...given, ...offline], input);
		expect(empty.err).toContain("v1 is not in the cache");
		expect(empty.code).toBe(1);
		expect(server.log).toEqual([]);

		const all = [...given, "--token", "hf_sesame", "--cache", cache];
		const asked = await run([name, ...args, ...all, "--revision", "v1"], input);
		expect(asked).toMatchObject({ code: 0 });
		expect(asked.out).not.toBe("");
		expect(server.log.join("\n")).toContain(`/resolve/${V1}/`);
		server.log.length = 0;

		const kept = await run([name, ...args, ...given, ...offline], input);
		expect(kept).toMatchObject({ code: 0 });
		expect(server.log).toEqual([]);
	});

	test("--no-cache, and --file of several", async () => {
		const args = ["--endpoint", server.url, "--token", "hf_sesame"];
		const file = ["--file", "model.safetensors", "--no-cache"];
		const inspected = await run(["inspect", "nano/smol", ...args, ...file]);
		expect(inspected).toMatchObject({ code: 0 });
		expect(server.log.join("\n")).toContain(`/resolve/${COMMIT}/`);
		expect(existsSync(join(folder, "hub"))).toBe(false);
		const missing = await run([
			"inspect",
			"nano/smol",
			...args,
			"--file",
			"other.safetensors",
		]);
		expect(missing.err).toContain("there is no other.safetensors");
	});

	test("what makes no sense is said", async () => {
		expect(await run(["tokenize", "--cache", "a", "--no-cache"])).toMatchObject(
			{
				code: 2,
				err: "nibble: --cache and --no-cache contradict each other\n",
			},
		);
		const wrong = await run(["inspect", "nano/smol", "--endpoint", "hub"]);
		expect(wrong.err).toMatch(/^nibble: hub.endpoint is "hub", expected/);
		expect(wrong.code).toBe(1);
	});

	test("is in the help of every command that takes one", async () => {
		for (const [name] of commands) {
			const { out } = await run([name, "--help"]);
			for (const flag of ["--revision NAME", "--token TOKEN", "--offline"])
				expect(out, name).toContain(flag);
		}
	});
});
