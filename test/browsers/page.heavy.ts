import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shapes } from "../../bench/shapes.ts";
import { writeModel } from "../../bench/write-model.ts";
import { ISOLATION, openSite, type Site } from "../runtimes/site.ts";
import { prepareStage } from "../runtimes/stage.ts";
import {
	type Chromium,
	missingChromium,
	openChromium,
	type Page,
} from "./chromium.ts";
import { mainThreadTasks } from "./trace.ts";

const PAGE = '<!doctype html><script type="module" src="app.js"></script>';
const APP = `import * as library from "nibble-lm";
Object.assign(globalThis, { library });
`;
const OWN_WORKER = `import { Model } from "nibble-lm";
const model = await Model.load();
const { text } = await model.generate("Once upon a time", { maxNewTokens: 5 });
postMessage({ text, threads: model.info.threads, limit: model.info.threadLimit });
`;

/** What a browser extension may do, and blob: workers. */
const STRICT = {
	...ISOLATION,
	"content-security-policy":
		"default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:",
};

if (missingChromium) console.warn(`skipped: pages: ${missingChromium}`);

describe.skipIf(missingChromium)("a page in Chromium", () => {
	let folder = "";
	let chromium: Chromium;
	const sites: Site[] = [];

	beforeAll(async () => {
		folder = prepareStage("page");
		const write = (name: string, text: string) =>
			writeFileSync(join(folder, name), text);
		write("index.html", PAGE);
		write("app.mjs", APP);
		write("own-worker.mjs", OWN_WORKER);
		cpSync(
			join(folder, "node_modules/nibble-lm/dist/runtime/coi-serviceworker.js"),
			join(folder, "coi-serviceworker.js"),
		);
		buildSync({
			entryPoints: ["app", "own-worker"].map((name) =>
				join(folder, `${name}.mjs`),
			),
			outdir: folder,
			bundle: true,
			format: "esm",
			target: "es2022",
			external: ["jpeg-js", "@jsquash/webp"],
		});
		// A model large enough for its steps to be felt.
		mkdirSync("build/models", { recursive: true });
		const model = "build/models/smollm2-135m.gguf";
		if (!existsSync(model))
			await writeModel(model, shapes["SmolLM2-135M"], "Q8_0");
		chromium = await openChromium();
	}, 180_000);

	afterAll(async () => {
		await chromium?.close();
		for (const site of sites) site.close();
	});

	async function open(
		headers: Readonly<Record<string, string>>,
		root = folder,
	): Promise<Page> {
		const site = await openSite(root, headers);
		sites.push(site);
		const page = await chromium.newPage();
		await page.goto(`${site.url}index.html`);
		await page.until("globalThis.library");
		return page;
	}

	test.each([
		["isolated", ISOLATION, undefined],
		["not isolated", {}, /not cross-origin isolated/],
		["with a strict policy", STRICT, undefined],
	])("%s, has its engine in a worker", async (_, headers, limit) => {
		const page = await open(headers);
		const said = await page.evaluate<{
			text: string;
			limit?: string;
		}>(`(async () => {
			globalThis.model = await library.Model.load();
			const { text } = await model.generate("Once upon a time", { maxNewTokens: 5 });
			return { text, limit: model.info.threadLimit };
		})()`);
		expect(said.text).not.toBe("");
		if (limit) expect(said.limit).toMatch(limit);
		else expect(said.limit).toBeUndefined();
		expect(`${said.limit}`).not.toMatch(/no thread of its own/);
		expect(page.errors.filter((e) => !e.includes("favicon"))).toEqual([]);
	});

	test.each([
		["isolated", ISOLATION],
		["not isolated", {}],
	])(
		"%s, does nothing for long while it loads and answers",
		async (how, headers) => {
			const site = await openSite("build/models", ISOLATION);
			sites.push(site);
			const page = await open(headers);
			await page.evaluate("globalThis.Model = library.Model");
			const source = `"${site.url}smollm2-135m.gguf"`;
			const loading = await mainThreadTasks(page, () =>
				page.evaluate(`(async () => {
				await Model.inspect(${source});
				await Model.estimate(${source});
				globalThis.model = await Model.load(${source});
			})()`),
			);
			let took = 0;
			const answering = await mainThreadTasks(page, async () => {
				took = await page.evaluate<number>(`(async () => {
				const ids = Array.from({ length: 200 }, (_, i) => 100 + i);
				const { timings } = await model.generate({ ids }, { maxNewTokens: 20, ignoreEos: true, temperature: 1 });
				return timings.prefillMs;
			})()`);
			});
			console.log(
				`longest task of the page's thread, ${how}: ${loading.longestMs.toFixed(1)} ms while loading, ${answering.longestMs.toFixed(1)} ms while answering (the prompt took ${took.toFixed(0)} ms)`,
			);
			const busy = await mainThreadTasks(page, () =>
				page.evaluate(
					"for (const end = performance.now() + 200; performance.now() < end; );",
				),
			);
			// Otherwise nothing was measured.
			expect(busy.longestMs).toBeGreaterThan(60);
			expect(took).toBeGreaterThan(100);
			expect(answering.tasks).toBeGreaterThan(20);
			expect(answering.longestMs).toBeLessThan(50);
			expect(loading.longestMs).toBeLessThan(50);
		},
	);

	test.each(["require-corp", "credentialless"])(
		"is isolated by the service worker with %s",
		async (policy) => {
			writeFileSync(
				join(folder, "coi.html"),
				`<!doctype html><script src="coi-serviceworker.js" data-coep="${policy}"></script>`,
			);
			const site = await openSite(folder);
			sites.push(site);
			const page = await chromium.newPage();
			await page.goto(`${site.url}coi.html?x=1`);
			await page.until("crossOriginIsolated", 10_000);
			expect(await page.evaluate("location.search")).toBe("?x=1");
			const headers = await page.evaluate<string>(
				"fetch(location.href).then((r) => r.headers.get('cross-origin-embedder-policy'))",
			);
			expect(headers).toBe(null);
		},
	);

	test("may use the library in a worker of its own", async () => {
		const page = await open(ISOLATION);
		const said = await page.evaluate(`new Promise((resolve, reject) => {
			const worker = new Worker("own-worker.js", { type: "module" });
			worker.onmessage = ({ data }) => resolve(data);
			worker.onerror = ({ message }) => reject(new Error(message));
		})`);
		expect(said).toMatchObject({ text: expect.stringMatching(/./) });
		expect((said as { threads: number }).threads).toBeGreaterThan(1);
	});

	test("needs no network once it has loaded a model", async () => {
		const page = await open(ISOLATION);
		const tell = `(async () => {
			const model = await library.Model.load();
			const { text } = await model.generate("Once upon a time", { maxNewTokens: 5, doSample: false });
			await model.dispose();
			return text;
		})()`;
		const first = await page.evaluate<string>(tell);
		await page.send("Network.enable");
		await page.send("Network.emulateNetworkConditions", {
			offline: true,
			latency: 0,
			downloadThroughput: -1,
			uploadThroughput: -1,
		});
		expect(
			await page.evaluate("fetch('index.html').catch(() => 'offline')"),
		).toBe("offline");
		expect(await page.evaluate<string>(tell)).toBe(first);
	});

	test("leaves no worker behind", async () => {
		const page = await open(ISOLATION);
		const workers = new Set<unknown>();
		page.on("Target.attachedToTarget", ({ targetInfo }) => {
			workers.add((targetInfo as { targetId: string }).targetId);
		});
		page.on("Target.detachedFromTarget", ({ targetId }) => {
			workers.delete(targetId);
		});
		await page.send("Target.setAutoAttach", {
			autoAttach: true,
			waitForDebuggerOnStart: false,
			flatten: true,
		});
		await page.evaluate(
			"library.Model.load().then((m) => { globalThis.model = m; })",
		);
		expect(workers.size).toBeGreaterThan(0);
		await page.evaluate("model.dispose()");
		for (let i = 0; i < 100 && workers.size > 0; i++)
			await new Promise((resolve) => setTimeout(resolve, 50));
		expect(workers.size).toBe(0);
	});
});
