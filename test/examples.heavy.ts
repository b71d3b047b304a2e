import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { missingChromium, openChromium } from "./browsers/chromium.ts";
import { ISOLATION, openSite } from "./runtimes/site.ts";
import { bundleWorker, installed, prepareStage } from "./runtimes/stage.ts";
import { openWorkerd } from "./runtimes/workerd.ts";

/** Examples in a folder where the packed package is installed, as a stranger would run them. */
let stage = "";

beforeAll(() => {
	stage = prepareStage("examples");
	cpSync("examples", join(stage, "examples"), { recursive: true });
}, 120_000);

function run(runtime: string, ...args: string[]): string {
	const command = join(installed(runtime), "node_modules", ".bin", runtime);
	const { stdout, stderr, status } = spawnSync(command, args, {
		cwd: stage,
		encoding: "utf8",
		timeout: 60_000,
		env: { ...process.env, NO_COLOR: "1" },
	});
	expect(stderr).toBe("");
	expect(status).toBe(0);
	return stdout;
}

test("deno.ts needs no permissions", () => {
	const said = run("deno", "run", "--no-prompt", "examples/deno.ts");
	expect(said).toMatch(/^Once upon a time.*\n( *\d+\.\d %.*\n){5}$/);
});

test("bun.ts calls a tool and tells what it said", () => {
	const said = run("bun", "examples/bun.ts");
	expect(said).toContain("calls get_weather");
	expect(said).toContain("says It is stormy in Oslo and 11 degrees.");
});

if (missingChromium)
	console.warn(`skipped: examples/browser.html: ${missingChromium}`);
test.skipIf(missingChromium)("browser.html tells a story", async () => {
	const site = await openSite(stage, ISOLATION);
	const chromium = await openChromium();
	try {
		const page = await chromium.newPage();
		await page.goto(`${site.url}examples/browser.html`);
		await page.until("document.title === 'The end'");
		const story = await page.evaluate<string>(
			"document.querySelector('p').textContent",
		);
		expect(story).toMatch(/^Once upon a time,? .{100}/);
		expect(page.errors.filter((e) => !e.includes("favicon"))).toEqual([]);
	} finally {
		await chromium.close();
		site.close();
	}
});

test("web/pack.js finds the package where it is installed", () => {
	const packed = join(stage, "packed");
	const script = join(stage, "examples", "web", "pack.js");
	execFileSync(process.execPath, [script, packed]);
	const library = readFileSync(
		join(packed, "lib", "nibble-lm", "runtime", "web.js"),
	);
	const installed = join(stage, "node_modules", "nibble-lm", "dist");
	expect(library).toEqual(readFileSync(join(installed, "runtime", "web.js")));
	expect(existsSync(join(packed, "lib", "fflate", "browser.js"))).toBe(true);
});

describe("worker.ts", () => {
	test("streams in workerd", async () => {
		const folder = join(stage, "examples", "worker");
		bundleWorker(join(stage, "examples", "worker.ts"), folder);
		const modules = readdirSync(folder).filter((f) => f.endsWith(".wasm"));
		expect(modules).toHaveLength(5);
		const worker = await openWorkerd(folder);
		try {
			for (let i = 0; i < 2; i++) {
				const response = await worker.dispatchFetch("http://localhost/", {
					method: "POST",
					body: "Once upon a time",
				});
				expect(response.status).toBe(200);
				let pieces = 0;
				let text = "";
				const decoder = new TextDecoder();
				for await (const piece of response.body!) {
					text += decoder.decode(piece, { stream: true });
					pieces++;
				}
				expect(text.length).toBeGreaterThan(50);
				expect(pieces).toBeGreaterThan(5);
			}
		} finally {
			await worker.dispose();
		}
	});
});

test("nothing else is there", () => {
	const tested = [
		"browser.html",
		"bun.ts",
		"deno.ts",
		"node.js",
		"service.js",
		"worker.ts",
	];
	const files = readdirSync("examples", { withFileTypes: true });
	expect(files.filter((f) => f.isFile()).map((f) => f.name)).toEqual(tested);
	const folders = files.filter((f) => f.isDirectory()).map((f) => f.name);
	expect(folders).toEqual(["web"]);
});
