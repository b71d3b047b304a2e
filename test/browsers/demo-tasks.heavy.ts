import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shapes } from "../../bench/shapes.ts";
import { writeModel } from "../../bench/write-model.ts";
import { ISOLATION, openSite, type Site } from "../runtimes/site.ts";
import {
	type Chromium,
	missingChromium,
	openChromium,
	type Page,
} from "./chromium.ts";
import { mainThreadTasks } from "./trace.ts";

const MODEL = resolve("build/models/smollm2-135m-q4_0.gguf");
const isShown = (id: string) => `!document.getElementById("${id}").hidden`;

if (missingChromium)
	console.warn(`skipped: tasks of the demo: ${missingChromium}`);

describe.skipIf(missingChromium)("the demo's own thread", () => {
	let stage = "";
	let chromium: Chromium;
	const sites: Site[] = [];

	beforeAll(async () => {
		stage = mkdtempSync(join(tmpdir(), "nibble-demo-"));
		execFileSync(process.execPath, ["examples/web/pack.js", stage]);
		mkdirSync("build/models", { recursive: true });
		if (!existsSync(MODEL))
			await writeModel(MODEL, shapes["SmolLM2-135M"], "Q4_0");
		chromium = await openChromium();
	}, 180_000);

	afterAll(async () => {
		await chromium?.close();
		for (const site of sites) site.close();
		rmSync(stage, { recursive: true });
	});

	test.each([
		["isolated", ISOLATION],
		["on one thread", {}],
	])(
		"%s, is free while a model loads and answers",
		async (how, headers) => {
			const site = await openSite(stage, headers);
			sites.push(site);
			const page = await chromium.newPage();
			// Without its service worker nothing isolates a page whose server does not.
			await page.send("Network.enable");
			await page.send("Network.setBlockedURLs", {
				urls: ["*coi-serviceworker.js"],
			});
			await page.goto(`${site.url}index.html`);
			await page.until("document.querySelector('#suggestions li')");

			const loading = await mainThreadTasks(page, async () => {
				await chooseFile(page, MODEL);
				await page.until(isShown("load"));
				await page.evaluate("document.getElementById('load').click()");
				await page.until(isShown("chat"));
			});
			const answering = await mainThreadTasks(page, async () => {
				await page.evaluate(`(() => {
				document.getElementById("max-tokens").value = 40;
				document.querySelector("#starters button").click();
			})()`);
				await page.until("document.querySelector('.answer .below')");
			});
			const engine = await page.evaluate(
				"document.getElementById('engine').textContent",
			);
			const stats = await page.evaluate(
				"document.querySelector('.stats').textContent",
			);
			console.log(
				`longest task of the demo, ${how}: ${loading.longestMs.toFixed(1)} ms while loading, ${answering.longestMs.toFixed(1)} ms while answering; ${engine}; ${stats}`,
			);
			expect(`${engine}`.startsWith("1 thread ")).toBe(how !== "isolated");
			expect(stats).toContain("40 tokens");
			expect(answering.tasks).toBeGreaterThan(20);
			expect(loading.longestMs).toBeLessThan(50);
			expect(answering.longestMs).toBeLessThan(50);
		},
		120_000,
	);
});

async function chooseFile(page: Page, path: string): Promise<void> {
	const { root } = await page.send<{ root: { nodeId: number } }>(
		"DOM.getDocument",
	);
	const { nodeId } = await page.send<{ nodeId: number }>("DOM.querySelector", {
		nodeId: root.nodeId,
		selector: "#file",
	});
	await page.send("DOM.setFileInputFiles", { nodeId, files: [path] });
}
