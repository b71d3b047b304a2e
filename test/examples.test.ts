import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
	existsSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";

const files = readdirSync("examples", { withFileTypes: true })
	.filter((entry) => entry.isFile())
	.map((entry) => entry.name);

test.each(files)("%s has at most 30 lines", (name) => {
	const text = readFileSync(join("examples", name), "utf8");
	expect(text.split("\n").length - 1).toBeLessThanOrEqual(30);
});

test.each(readdirSync("examples/web"))(
	"web/%s is of a readable size, and asks nobody for anything",
	(name) => {
		if (name.endsWith(".png")) return;
		const text = readFileSync(join("examples/web", name), "utf8");
		expect(text.split("\n").length).toBeLessThan(400);
		for (const [, host] of text.matchAll(
			/(?:src|href|url\(|from)[="'( ]+https?:\/\/([^/"']+)/g,
		))
			expect(host).toBe("nowhere");
	},
);

describe("in Node", () => {
	test("node.js thinks, answers and ends", () => {
		const { stdout, stderr, status } = spawnSync(
			process.execPath,
			["examples/node.js"],
			{ encoding: "utf8", timeout: 60_000 },
		);
		expect(stderr).toBe("");
		expect(stdout).toContain("\x1b[90m");
		expect(stdout).toContain("17 + 25 = 42");
		expect(stdout).toMatch(/\d+ tokens, \d+ per second\n$/);
		expect(status).toBe(0);
	});

	test("web/serve.js serves the page and the library, isolated, and nothing else", async () => {
		const server = spawn(process.execPath, ["examples/web/serve.js", "0"], {
			stdio: ["ignore", "pipe", "inherit"],
		});
		try {
			const url = await new Promise<string>((resolve, reject) => {
				server.stdout.once("data", (line) => resolve(`${line}`.trim()));
				server.once("exit", () => reject(new Error("it ended")));
			});
			const served = {
				"/": "text/html",
				"/main.js": "text/javascript",
				"/style.css": "text/css",
				"/icon.svg": "image/svg+xml",
				"/coi-serviceworker.js": "text/javascript",
				"/lib/nibble-lm/runtime/web.js": "text/javascript",
				"/lib/jinja/index.js": "text/javascript",
				"/lib/tokenizers/tokenizers.mjs": "text/javascript",
				"/lib/fflate/browser.js": "text/javascript",
			};
			for (const [address, type] of Object.entries(served)) {
				const { status, headers } = await fetch(url + address);
				expect([address, status]).toEqual([address, 200]);
				expect(headers.get("content-type")).toContain(type);
				expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
				expect(headers.get("cross-origin-embedder-policy")).toBe(
					"require-corp",
				);
			}
			const refused = {
				"/nothing": 404,
				"/serve.js": 404,
				"/lib/": 404,
				"/..%2fnode.js": 404,
				"/lib/nibble-lm/..%2f..%2fpackage.json": 404,
				"/%": 400,
			};
			for (const [address, status] of Object.entries(refused))
				expect([address, (await fetch(url + address)).status]).toEqual([
					address,
					status,
				]);
			expect((await fetch(url, { method: "POST" })).status).toBe(405);
		} finally {
			server.kill("SIGKILL");
		}
	});

	test("web/pack.js writes what a static host needs", () => {
		const folder = mkdtempSync(join(tmpdir(), "nibble-pack-"));
		try {
			execFileSync(process.execPath, ["examples/web/pack.js", folder]);
			const html = readFileSync(join(folder, "index.html"), "utf8");
			const [, map = ""] =
				/<script type="importmap">(.*?)<\/script>/s.exec(html) ?? [];
			const files = Object.values(JSON.parse(map).imports as object);
			expect(files).toHaveLength(4);
			for (const [, file] of html.matchAll(/(?:href|src)="([\w.-]+)"/g))
				files.push(file);
			expect(files).toContain("coi-serviceworker.js");
			for (const file of files)
				expect(existsSync(join(folder, file))).toBe(true);
			expect(existsSync(join(folder, "serve.js"))).toBe(false);
		} finally {
			rmSync(folder, { recursive: true });
		}
	});

	test("service.js streams, survives who leaves, and stops when told to", async () => {
		const service = spawn(process.execPath, ["examples/service.js", "0"], {
			stdio: ["ignore", "pipe", "inherit"],
		});
		try {
			const url = await new Promise<string>((resolve, reject) => {
				service.stdout.once("data", (line) => resolve(`${line}`.trim()));
				service.once("exit", () => reject(new Error("it ended")));
			});
			const ask = (body: string, init: RequestInit = {}) =>
				fetch(url, { method: "POST", body, ...init });

			const left = new AbortController();
			const leaving = await ask("Once upon a time", { signal: left.signal });
			const reader = leaving.body!.getReader();
			expect((await reader.read()).value?.length).toBeGreaterThan(0);
			left.abort();

			const response = await ask("Once upon a time");
			expect(response.status).toBe(200);
			expect((await response.text()).length).toBeGreaterThan(100);

			const empty = await ask("");
			expect(empty.status).toBe(400);
			expect(await empty.text()).toContain("OptionError");

			const ended = new Promise((resolve) => service.once("exit", resolve));
			service.kill("SIGTERM");
			expect(await ended).toBe(0);
		} finally {
			service.kill("SIGKILL");
		}
	});
});
