import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import {
	type Browser,
	chromium,
	firefox,
	webkit,
} from "../browsers/browsers.ts";
import type { Report } from "./behaviours.ts";
import { ISOLATION, openSite } from "./site.ts";
import { installed } from "./stage.ts";
import { openWorkerd } from "./workerd.ts";

/** How to start the behaviours in one runtime. */
export interface Starter {
	readonly name: string;
	/** Why it cannot be started here; undefined where it can. */
	missing?(): string | undefined;
	/** @param stage the folder that prepareStage made */
	start(stage: string): Promise<Report>;
}

const TIMEOUT_MS = 180_000;

/** A process that has to answer on its output, end by itself and leave its error output empty. */
async function runScript(
	command: string,
	args: readonly string[],
	stage: string,
): Promise<Report> {
	const site = await openSite(stage);
	try {
		const child = spawn(
			command,
			[...args, join(stage, "script.mjs"), site.url],
			{
				stdio: ["ignore", "pipe", "pipe"],
				timeout: TIMEOUT_MS,
				killSignal: "SIGKILL",
				env: { ...process.env, NO_COLOR: "1" },
			},
		);
		let output = "";
		let errors = "";
		child.stdout.on("data", (data) => {
			output += data;
		});
		child.stderr.on("data", (data) => {
			errors += data;
		});
		const ended = await new Promise<string>((resolve, reject) => {
			child.once("error", reject);
			child.once("close", (code, signal) =>
				resolve(signal ? `killed by ${signal}` : `exit code ${code}`),
			);
		});
		if (ended !== "exit code 0" || errors !== "")
			throw new Error(`${ended} ${errors}${output.slice(0, 200)}`);
		return JSON.parse(output);
	} finally {
		site.close();
	}
}

const packaged = (
	name: string,
	packageName: string,
	binary: string,
	args: readonly string[],
): Starter => ({
	name,
	start: (stage) =>
		runScript(
			join(installed(packageName), "node_modules", binary),
			args,
			stage,
		),
});

/** A browser, started on a page of its own. */
const inBrowser = (
	name: string,
	browser: Browser,
	headers: Readonly<Record<string, string>>,
	page = "page.html",
): Starter => ({
	name,
	missing: () => browser.missing,
	async start(stage) {
		const site = await openSite(stage, headers);
		try {
			const report = await browser.reportOf(site, page, TIMEOUT_MS);
			if (!report.startsWith("{")) throw new Error(report);
			return JSON.parse(report);
		} finally {
			site.close();
		}
	},
});

/** Compiles WebAssembly, and starts no worker. The page's own scripts are inline. */
const STRICT = {
	...ISOLATION,
	"content-security-policy":
		"default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'none'",
};

const workerd: Starter = {
	name: "workerd",
	async start(stage) {
		const worker = await openWorkerd(join(stage, "worker"));
		const site = await openSite(stage);
		try {
			const response = await worker.dispatchFetch("http://localhost/", {
				method: "POST",
				body: site.url,
			});
			const report: string = await response.text();
			if (!report.startsWith("{")) throw new Error(report);
			return JSON.parse(report);
		} finally {
			site.close();
			await worker.dispose();
		}
	},
};

const [major] = process.versions.node.split(".");

export const starters: readonly Starter[] = [
	{
		name: `node ${major}`,
		start: (stage) => runScript(process.execPath, [], stage),
	},
	...["20", "22", "24", "26"]
		.filter((version) => version !== major)
		.map((version) =>
			packaged(`node ${version}`, `node@${version}`, "node/bin/node", []),
		),
	packaged("deno", "deno", ".bin/deno", [
		"run",
		"--allow-net=127.0.0.1",
		"--allow-read",
	]),
	packaged("bun", "bun", ".bin/bun", []),
	inBrowser("chromium", chromium, ISOLATION),
	inBrowser("chromium, not isolated", chromium, {}),
	inBrowser("chromium, service worker", chromium, {}, "coi.html"),
	inBrowser("chromium, strict policy", chromium, STRICT),
	inBrowser("firefox", firefox, ISOLATION),
	inBrowser("firefox, service worker", firefox, {}, "coi.html"),
	inBrowser("firefox, strict policy", firefox, STRICT),
	inBrowser("webkit", webkit(true), ISOLATION),
	inBrowser("webkit, service worker", webkit(true), {}, "coi.html"),
	inBrowser("webkit, no SharedArrayBuffer", webkit(false), ISOLATION),
	workerd,
];
