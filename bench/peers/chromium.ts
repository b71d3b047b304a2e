/** A page in headless Chromium that answers messages. */
import { spawn } from "node:child_process";
import {
	createReadStream,
	existsSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
} from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { build } from "esbuild";

/** What lets a page share memory with its workers. */
const ISOLATION = {
	"cross-origin-opener-policy": "same-origin",
	"cross-origin-embedder-policy": "require-corp",
	"cache-control": "no-store",
};
const TYPES: Readonly<Record<string, string>> = {
	".mjs": "text/javascript",
	".wasm": "application/wasm",
};
const BROWSER = process.env.CHROMIUM ?? "chromium";
/** Linux counts the time of processes in hundredths of a second. */
const TICK_MS = 10;

export interface Page {
	/** What the page's handler returns for a message. Rejects with what it throws. */
	ask(message: unknown): Promise<unknown>;
	/** Milliseconds that all of the browser's threads were on a core so far. */
	cpuMs(): number;
	/** Of the browser's largest process. */
	peakMemoryBytes(): number;
	close(): void;
}

/**
 * Opens a page that runs `script` with `query` as its address's query.
 * @param files by address: files, and folders of files, that the page may fetch
 */
export async function openPage(
	script: string,
	query: Record<string, string>,
	files: Readonly<Record<string, string>>,
): Promise<Page> {
	const { outputFiles } = await build({
		entryPoints: [script],
		bundle: true,
		format: "esm",
		target: "es2022",
		write: false,
		logLevel: "error",
	});
	const code = outputFiles[0]!.text;
	/** The message that the page has not fetched yet, or the page's open request for it. */
	let message: string | undefined;
	let waiting: ServerResponse | undefined;
	let settle:
		| ((answer: { value?: unknown; error?: string }) => void)
		| undefined;

	const server = createServer(async (request, response) => {
		const path = new URL(request.url!, "http://localhost").pathname;
		const send = (type: string, body: string) =>
			response.writeHead(200, { ...ISOLATION, "content-type": type }).end(body);
		if (path === "/")
			return send(
				"text/html",
				'<!doctype html><script type="module" src="/page.js"></script>',
			);
		if (path === "/page.js") return send("text/javascript", code);
		if (path === "/next") {
			if (message === undefined) waiting = response;
			else send("application/json", message);
			message = undefined;
			return;
		}
		if (path === "/answer") {
			const chunks: Buffer[] = [];
			for await (const chunk of request) chunks.push(chunk as Buffer);
			settle?.(JSON.parse(Buffer.concat(chunks).toString()));
			return send("application/json", "{}");
		}
		const file = fileAt(path, files);
		if (file === undefined) return response.writeHead(404, ISOLATION).end();
		response.writeHead(200, {
			...ISOLATION,
			"content-type": TYPES[extname(path)] ?? "application/octet-stream",
			"content-length": statSync(file).size,
		});
		createReadStream(file).pipe(response);
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as AddressInfo;
	const profile = mkdtempSync(join(tmpdir(), "nibble-chromium-"));
	const browser = spawn(
		BROWSER,
		[
			"--headless=new",
			"--no-sandbox",
			"--disable-gpu",
			"--no-first-run",
			`--user-data-dir=${profile}`,
			`http://127.0.0.1:${port}/?${new URLSearchParams(query)}`,
		],
		{ stdio: "ignore", detached: true },
	);
	return {
		ask(question) {
			const text = JSON.stringify(question);
			if (waiting) {
				waiting
					.writeHead(200, { ...ISOLATION, "content-type": "application/json" })
					.end(text);
				waiting = undefined;
			} else message = text;
			return new Promise((resolve, reject) => {
				settle = ({ value, error }) =>
					error === undefined ? resolve(value) : reject(new Error(error));
				browser.once("exit", () => reject(new Error("the browser ended")));
			});
		},
		cpuMs: () =>
			processesOf(browser.pid!).reduce((sum, p) => sum + p.ticks, 0) * TICK_MS,
		peakMemoryBytes: () =>
			Math.max(
				0,
				...processesOf(browser.pid!).map(({ pid }) => {
					const status = readFileSync(`/proc/${pid}/status`, "utf8");
					return 1024 * Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0);
				}),
			),
		close() {
			server.closeAllConnections();
			server.close();
			// The browser leads a process group of its own.
			if (browser.exitCode === null) process.kill(-browser.pid!, "SIGKILL");
			rmSync(profile, {
				recursive: true,
				force: true,
				maxRetries: 5,
				retryDelay: 200,
			});
		},
	};
}

function fileAt(
	path: string,
	files: Readonly<Record<string, string>>,
): string | undefined {
	for (const [address, file] of Object.entries(files)) {
		if (path === address) return file;
		if (!path.startsWith(`${address}/`)) continue;
		const inFolder = join(file, basename(path));
		return existsSync(inFolder) ? inFolder : undefined;
	}
	return undefined;
}

/** A process and all that it has started, from /proc. */
function processesOf(root: number): { pid: number; ticks: number }[] {
	const all = new Map<number, { pid: number; parent: number; ticks: number }>();
	for (const name of readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
		try {
			// After the name, which is in parentheses: state, parent, …, user and system time as 12th and 13th.
			const fields = readFileSync(`/proc/${name}/stat`, "utf8")
				.replace(/^.*\) /s, "")
				.split(" ")
				.map(Number);
			const pid = Number(name);
			all.set(pid, {
				pid,
				parent: fields[1]!,
				ticks: fields[11]! + fields[12]!,
			});
		} catch {
			// It has ended in the meantime.
		}
	}
	const isOurs = (pid: number): boolean => {
		if (pid === root) return true;
		const parent = all.get(pid)?.parent;
		return parent !== undefined && parent > 1 && isOurs(parent);
	};
	return [...all.values()].filter(({ pid }) => isOurs(pid));
}
