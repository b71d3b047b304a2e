import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
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

/** A browser that is installed on this machine, started on a page of its own. */
function browser(
	name: string,
	paths: readonly string[],
	args: (profile: string, url: string) => readonly string[],
	headers: Readonly<Record<string, string>>,
	env: NodeJS.ProcessEnv = {},
	page = "page.html",
): Starter {
	const path = paths.find(existsSync);
	return {
		name,
		missing: () => (path ? undefined : `none of ${paths.join(", ")} is there`),
		async start(stage) {
			const site = await openSite(stage, headers);
			const profile = mkdtempSync(join(tmpdir(), "nibble-browser-"));
			const child = spawn(path!, args(profile, site.url + page), {
				detached: true,
				stdio: "ignore",
				env: { ...process.env, HOME: profile, ...env },
			});
			let timer: NodeJS.Timeout | undefined;
			try {
				const report = await Promise.race([
					site.nextReport(),
					new Promise<never>((_, reject) => {
						timer = setTimeout(
							() => reject(new Error(`no report within ${TIMEOUT_MS} ms`)),
							TIMEOUT_MS,
						);
					}),
				]);
				if (!report.startsWith("{")) throw new Error(report);
				return JSON.parse(report);
			} finally {
				clearTimeout(timer);
				// The whole process group: browsers are many processes.
				if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
				site.close();
				rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
			}
		},
	};
}

/** Compiles WebAssembly, and starts no worker. The page's own scripts are inline. */
const STRICT = {
	...ISOLATION,
	"content-security-policy":
		"default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'none'",
};

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/google-chrome"];
const chromium = (profile: string, url: string) => [
	"--headless=new",
	"--no-sandbox",
	"--disable-gpu",
	"--no-first-run",
	`--user-data-dir=${profile}`,
	url,
];
const FIREFOX = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
const firefox = (profile: string, url: string) => [
	"--headless",
	"--no-remote",
	"--profile",
	profile,
	url,
];
/** WebKitGTK's own browser, which needs a display. */
const MINI_BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";
const XVFB = existsSync(MINI_BROWSER) ? ["/usr/bin/xvfb-run"] : [MINI_BROWSER];
const webkit = (_: string, url: string) => [
	"-a",
	MINI_BROWSER,
	"--private",
	url,
];
const WEBKIT_ENV = {
	WEBKIT_DISABLE_COMPOSITING_MODE: "1",
	WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1",
};
const WEBKIT_SHARED = { ...WEBKIT_ENV, JSC_useSharedArrayBuffer: "1" };

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
	browser("chromium", CHROMIUM, chromium, ISOLATION),
	browser("chromium, not isolated", CHROMIUM, chromium, {}),
	browser("chromium, service worker", CHROMIUM, chromium, {}, {}, "coi.html"),
	browser("chromium, strict policy", CHROMIUM, chromium, STRICT),
	browser("firefox", FIREFOX, firefox, ISOLATION),
	browser("firefox, service worker", FIREFOX, firefox, {}, {}, "coi.html"),
	browser("firefox, strict policy", FIREFOX, firefox, STRICT),
	browser("webkit", XVFB, webkit, ISOLATION, WEBKIT_SHARED),
	browser(
		"webkit, service worker",
		XVFB,
		webkit,
		{},
		WEBKIT_SHARED,
		"coi.html",
	),
	browser("webkit, no SharedArrayBuffer", XVFB, webkit, ISOLATION, WEBKIT_ENV),
	workerd,
];
