import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromium, firefox } from "./browsers/browsers.ts";
import { sha256Of } from "./hub-server.ts";
import { nanoFiles, serveNano } from "./nano-hub.ts";
import type { PageReport } from "./page-cache.ts";
import { openSite } from "./runtimes/site.ts";

const WEIGHTS = "model.safetensors";
const SHARED = "tokenizer.json";
const weights = nanoFiles.get(WEIGHTS)!;
const TOKEN = "hf_sesame";

let stage: string;
beforeAll(() => {
	stage = mkdtempSync(join(tmpdir(), "nibble-pages-"));
	buildSync({
		entryPoints: ["test/page-cache.ts"],
		bundle: true,
		format: "esm",
		outfile: join(stage, "page.js"),
		logLevel: "error",
	});
});
afterAll(() => rmSync(stage, { recursive: true }));

/** Of the weights: past what a page keeps before it interrupts its first download. */
const MIDDLE = 3_000_000;

/**
 * Sends the weights in pieces, so that there is a middle to stop in. Whoever reads from the start gets no more than drops
 * after it: a page is told of progress only now and then, and must not have everything before it can interrupt.
 */
function sendSlowly(start: number, response: ServerResponse) {
	response.writeHead(206, {
		"content-range": `bytes ${start}-${weights.length - 1}/${weights.length}`,
		"content-length": weights.length - start,
	});
	let at = start;
	const timer = setInterval(() => {
		const pieceBytes = start === 0 && at > MIDDLE ? 1000 : 400_000;
		response.write(weights.subarray(at, at + pieceBytes));
		at += pieceBytes;
		if (at < weights.length) return;
		clearInterval(timer);
		response.end();
	}, 40);
	response.on("close", () => clearInterval(timer));
}

// WebKitGTK has no files for pages: only these two have both storages.
describe.each([chromium, firefox])(
	"the storages of a page in $name",
	(browser) => {
		const { missing } = browser;
		if (missing)
			console.warn(`skipped: storages of ${browser.name}: ${missing}`);

		test.skipIf(missing)(
			"keep what the Hub has, take up what was interrupted, and lock",
			async () => {
				const hub = await serveNano();
				hub.token = TOKEN;
				hub.cdnAnswer = (request, response) => {
					const { range = "" } = request.headers;
					sendSlowly(Number(/bytes=(\d+)/.exec(range)?.[1] ?? 0), response);
					return true;
				};
				const args = [hub.url, hub.repo, WEIGHTS, SHARED, TOKEN];
				writeFileSync(
					join(stage, "page.html"),
					`<!doctype html><script type="module">
import { main } from "./page.js";
const report = await main(...${JSON.stringify(args)}).catch((error) => \`\${error}\`);
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
</script>`,
				);
				const site = await openSite(stage);
				try {
					const reports: PageReport[] | string = JSON.parse(
						await browser.reportOf(site, "page.html"),
					);
					const sha256 = sha256Of(weights);
					const expected = {
						sha256: [sha256, sha256],
						statuses: [
							["initiate", "download", "progress", "done"],
							["initiate", "done"],
						],
						sharedBytes: nanoFiles.get(SHARED)!.length,
					};
					expect(reports).toMatchObject([
						{ storage: "the page's files", ...expected },
						{ storage: "the page's cache", ...expected },
					]);
					for (const { resumedBytes } of reports as PageReport[])
						expect(resumedBytes).toBeGreaterThanOrEqual(2 * 2 ** 20);
					for (const { authorization } of hub.cdnHeaders)
						expect(authorization).toBeUndefined();
					const shared = hub.log.filter((line) => line.includes(SHARED));
					expect(shared).toHaveLength(2);
				} finally {
					site.close();
					await hub.close();
				}
			},
		);
	},
);
