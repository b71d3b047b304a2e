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
import type { Usage } from "./processes.ts";
import { ISOLATION, openSite, type Site } from "./site.ts";
import { installed } from "./stage.ts";
import { openWorkerd } from "./workerd.ts";

/** How to start the behaviours in one runtime. */
export interface Starter {
	readonly name: string;
	/** Why it cannot be started here; undefined where it can. */
	missing?(): string | undefined;
	/** Set where files of the Hub are forgotten. */
	readonly forgets?: boolean;
	/** @param stage the folder that prepareStage made */
	start(stage: string): Promise<Outcome>;
}

/** What a runtime said of itself, and what its processes took meanwhile. */
export interface Outcome extends Report {
	readonly marks: readonly Usage[];
}

const TIMEOUT_MS = 300_000;

/** Serves the stage while a runtime reports. */
async function withSite(
	stage: string,
	headers: Readonly<Record<string, string>>,
	run: (site: Site) => Promise<string>,
): Promise<Outcome> {
	const site = await openSite(stage, headers);
	try {
		const report = await run(site);
		if (!report.startsWith("{")) throw new Error(report);
		return { ...JSON.parse(report), marks: site.marks };
	} finally {
		site.close();
	}
}

/** A process that has to answer on its output, end by itself and leave its error output empty. */
const runScript = (
	command: string,
	args: readonly string[],
	stage: string,
): Promise<Outcome> =>
	withSite(stage, {}, async (site) => {
		const child = spawn(
			command,
			[...args, join(stage, "script.mjs"), site.url, stage],
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
		return output;
	});

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
	// WebKitGTK gets a private window, in which nothing is kept.
	forgets: browser.name === "webkit",
	missing: () => browser.missing,
	start: (stage) =>
		withSite(stage, headers, (site) =>
			browser.reportOf(site, page, TIMEOUT_MS),
		),
});

/** Compiles WebAssembly, and starts no worker. The page's own scripts are inline, and the Hub is another origin. */
const STRICT = {
	...ISOLATION,
	"content-security-policy":
		"default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'none'; connect-src 'self' http://127.0.0.1:* http://localhost:*",
};

const workerd: Starter = {
	name: "workerd",
	forgets: true,
	start: (stage) =>
		withSite(stage, {}, async (site) => {
			const worker = await openWorkerd(join(stage, "worker"));
			try {
				const response = await worker.dispatchFetch("http://localhost/", {
					method: "POST",
					body: site.url,
				});
				return await response.text();
			} finally {
				await worker.dispose();
			}
		}),
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
		"--allow-net=127.0.0.1,localhost",
		"--allow-read",
		"--allow-write",
		"--allow-env",
		"--allow-sys=homedir,hostname",
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
