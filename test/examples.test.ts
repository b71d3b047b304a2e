import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
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
