import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Site } from "../runtimes/site.ts";

/** A browser that may be on this machine, started without a window on a page that reports by itself. */
export interface Browser {
	readonly name: "chromium" | "firefox" | "webkit";
	/** Why it cannot be started; undefined where it can. */
	readonly missing: string | undefined;
	/**
	 * What the page posts to its site's /report. The browser is ended then, and its profile with it.
	 * @param page address below the site's
	 * @throws (rejects with) Error when nothing came in time
	 */
	reportOf(site: Site, page: string, timeoutMs?: number): Promise<string>;
}

const TIMEOUT_MS = 180_000;

function browser(
	name: Browser["name"],
	paths: readonly string[],
	args: (profile: string, url: string) => readonly string[],
	env: NodeJS.ProcessEnv = {},
	needs = paths,
): Browser {
	const path = paths.find(existsSync);
	return {
		name,
		missing:
			path && needs.some(existsSync)
				? undefined
				: `none of ${(path ? needs : paths).join(", ")} is there`,
		async reportOf(site, page, timeoutMs = TIMEOUT_MS) {
			const profile = mkdtempSync(join(tmpdir(), "nibble-browser-"));
			const child = spawn(path!, args(profile, site.url + page), {
				detached: true,
				stdio: "ignore",
				env: { ...process.env, HOME: profile, ...env },
			});
			let timer: NodeJS.Timeout | undefined;
			try {
				return await Promise.race([
					site.nextReport(),
					new Promise<never>((_, reject) => {
						timer = setTimeout(
							() => reject(new Error(`no report within ${timeoutMs} ms`)),
							timeoutMs,
						);
					}),
				]);
			} finally {
				clearTimeout(timer);
				// The whole process group: browsers are many processes.
				if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
				rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
			}
		},
	};
}

export const chromium = browser(
	"chromium",
	["/usr/bin/chromium", "/usr/bin/google-chrome"],
	(profile, url) => [
		"--headless=new",
		"--no-sandbox",
		"--disable-gpu",
		"--no-first-run",
		`--user-data-dir=${profile}`,
		url,
	],
);

export const firefox = browser(
	"firefox",
	["/usr/bin/firefox-esr", "/usr/bin/firefox"],
	(profile, url) => ["--headless", "--no-remote", "--profile", profile, url],
);

/** WebKitGTK's own browser, which needs a display. Without `sharing` pages have no SharedArrayBuffer. */
export function webkit(sharing: boolean): Browser {
	const miniBrowser = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";
	return browser(
		"webkit",
		["/usr/bin/xvfb-run"],
		(_, url) => ["-a", miniBrowser, "--private", url],
		{
			WEBKIT_DISABLE_COMPOSITING_MODE: "1",
			WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1",
			...(sharing && { JSC_useSharedArrayBuffer: "1" }),
		},
		[miniBrowser],
	);
}

export const browsers: readonly Browser[] = [chromium, firefox, webkit(true)];
