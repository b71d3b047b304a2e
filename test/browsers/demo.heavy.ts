import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serveNano } from "../nano-hub.ts";
import { ISOLATION, openSite } from "../runtimes/site.ts";
import { chromium, firefox, webkit } from "./browsers.ts";
import {
	AFTER_RELOAD,
	type DemoReport,
	type DemoSetting,
	stepNames,
} from "./demo-page.ts";

const SERVICE_WORKER = '<script src="coi-serviceworker.js"></script>';

let stage = "";
beforeAll(() => {
	stage = mkdtempSync(join(tmpdir(), "nibble-demo-"));
	execFileSync(process.execPath, ["examples/web/pack.js", stage]);
	buildSync({
		entryPoints: ["test/browsers/demo-page.ts"],
		bundle: true,
		format: "esm",
		target: "es2022",
		outfile: join(stage, "visit.js"),
		logLevel: "error",
	});
}, 60_000);
afterAll(() => rmSync(stage, { recursive: true }));

/** The page with a visitor in it. */
function writePage(name: string, setting: DemoSetting, without = ""): void {
	const html = readFileSync(join(stage, "index.html"), "utf8");
	expect(html).toContain(without);
	writeFileSync(
		join(stage, name),
		`${html.replace(without, "")}<script type="module">
import { visit } from "./visit.js";
const post = (body) => fetch("/report", { method: "POST", body });
visit(${JSON.stringify(setting)}, (report) => post(JSON.stringify(report))).catch((error) => post(String(error)));
</script>`,
	);
}

const threads = { isolated: true };
const visits = [
	{ how: "isolated", browser: chromium, headers: ISOLATION, ...threads },
	{ how: "by service worker", browser: chromium, headers: {}, ...threads },
	{ how: "on one thread", browser: chromium, headers: {}, isolated: false },
	{ how: "isolated", browser: firefox, headers: ISOLATION, ...threads },
	{ how: "by service worker", browser: firefox, headers: {}, ...threads },
	{ how: "isolated", browser: webkit(true), headers: ISOLATION, ...threads },
	{ how: "by service worker", browser: webkit(true), headers: {}, ...threads },
];

describe.each(visits)("the demo in $browser.name, $how", (visit) => {
	const { how, browser, headers, isolated } = visit;
	const { missing } = browser;
	if (missing)
		console.warn(`skipped: the demo in ${browser.name}, ${how}: ${missing}`);
	let report: DemoReport;
	let askedAgain: readonly string[] = [];

	beforeAll(async () => {
		if (missing) return;
		const hub = await serveNano();
		const site = await openSite(stage, headers);
		try {
			const setting = { hub: hub.url, repo: hub.repo, isolated };
			writePage("visit.html", setting, isolated ? "" : SERVICE_WORKER);
			const text = await browser.reportOf(site, "visit.html");
			if (!text.startsWith("{")) throw new Error(text);
			report = JSON.parse(text);
			const mark = hub.log.findIndex((line) => line.includes(AFTER_RELOAD));
			if (mark >= 0) askedAgain = hub.log.slice(mark + 1);
			console.log(`${browser.name}, ${how}: ${report.engine}; ${report.stats}`);
		} finally {
			site.close();
			await hub.close();
		}
	}, 200_000);

	test.skipIf(missing).each(stepNames)("%s", (step) => {
		expect(report.steps[step]).toBe(null);
	});

	// WebKitGTK's browser keeps nothing in the private windows that it opens here.
	const keeps = !missing && browser.name !== "webkit";
	test.runIf(keeps)("fetches weights once", () => {
		expect(askedAgain.length).toBeGreaterThan(0);
		expect(askedAgain.filter((line) => line.startsWith("cdn"))).toEqual([]);
	});
});
