import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Readable, Writable } from "node:stream";

const PATHS = ["/usr/bin/chromium", "/usr/bin/google-chrome"];
const path = PATHS.find(existsSync);

/** Why there is no Chromium to drive; undefined where there is one. */
export const missingChromium = path
	? undefined
	: `none of ${PATHS.join(", ")} is there`;

type Json = Readonly<Record<string, unknown>>;

/** A page of Chromium, driven by its DevTools protocol. */
export interface Page {
	/** Everything that the page said was wrong: errors of the console, exceptions, refused content. */
	readonly errors: string[];
	send<Result = Json>(method: string, params?: Json): Promise<Result>;
	on(method: string, listener: (params: Json) => void): void;
	/** Resolves when the page's load event has fired. */
	goto(url: string): Promise<void>;
	/** Value of an expression, awaited, in the page. Rejects with what it throws. */
	evaluate<Result>(expression: string): Promise<Result>;
	/** Resolves when an expression is truthy, with its value; rejects after `timeoutMs`. */
	until<Result>(expression: string, timeoutMs?: number): Promise<Result>;
	/** Types into what has the focus; "\n" is the Enter key. */
	type(text: string): Promise<void>;
	press(key: string, code?: string): Promise<void>;
	/** Writes a PNG file. */
	screenshot(file: string): Promise<void>;
	close(): Promise<void>;
}

export interface Chromium {
	newPage(): Promise<Page>;
	close(): Promise<void>;
}

/** Starts Chromium without a window. Commands go through pipes, which every Node has, instead of a web socket. */
export async function openChromium(): Promise<Chromium> {
	const profile = mkdtempSync(join(tmpdir(), "nibble-chromium-"));
	const child = spawn(
		path!,
		[
			"--headless=new",
			"--no-sandbox",
			"--disable-gpu",
			"--no-first-run",
			"--remote-debugging-pipe",
			`--user-data-dir=${profile}`,
		],
		{
			detached: true,
			stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
			env: { ...process.env, HOME: profile },
		},
	);
	const connection = connect(child);
	return {
		async newPage() {
			const { targetId } = await connection.send<{ targetId: string }>(
				"Target.createTarget",
				{ url: "about:blank" },
			);
			const { sessionId } = await connection.send<{ sessionId: string }>(
				"Target.attachToTarget",
				{ targetId, flatten: true },
			);
			return openPage(connection, sessionId, targetId);
		},
		async close() {
			const ended = new Promise((resolve) => child.once("exit", resolve));
			// The whole process group: a browser is many processes.
			if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
			await ended;
			rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
		},
	};
}

interface Connection {
	send<Result>(
		method: string,
		params?: Json,
		sessionId?: string,
	): Promise<Result>;
	on(
		sessionId: string,
		listener: (method: string, params: Json) => void,
	): () => void;
}

interface Answer {
	readonly id?: number;
	readonly sessionId?: string;
	readonly method?: string;
	readonly params?: Json;
	readonly result?: unknown;
	readonly error?: { readonly message: string };
}

/** Messages are JSON that ends with a zero byte: to the browser on file descriptor 3, from it on 4. */
function connect(child: ChildProcess): Connection {
	const [, , , commands, answers] = child.stdio as unknown as [
		null,
		null,
		null,
		Writable,
		Readable,
	];
	const waiting = new Map<number, (answer: Answer) => void>();
	const listeners = new Map<string, (method: string, params: Json) => void>();
	let last = 0;
	let rest = "";
	answers.setEncoding("utf8").on("data", (data: string) => {
		const messages = (rest + data).split("\0");
		rest = messages.pop()!;
		for (const text of messages) {
			const answer: Answer = JSON.parse(text);
			if (answer.id !== undefined) {
				waiting.get(answer.id)?.(answer);
				waiting.delete(answer.id);
			} else if (answer.method && answer.sessionId)
				listeners.get(answer.sessionId)?.(answer.method, answer.params ?? {});
		}
	});
	commands.on("error", () => {
		// It was closed; whoever waits for an answer has a time limit.
	});
	return {
		send: (method, params = {}, sessionId) =>
			new Promise((resolve, reject) => {
				const id = ++last;
				waiting.set(id, ({ result, error }) =>
					error
						? reject(new Error(`${method}: ${error.message}`))
						: resolve(result as never),
				);
				commands.write(
					`${JSON.stringify({ id, method, params, sessionId })}\0`,
				);
			}),
		on(sessionId, listener) {
			listeners.set(sessionId, listener);
			return () => listeners.delete(sessionId);
		},
	};
}

async function openPage(
	connection: Connection,
	sessionId: string,
	targetId: string,
): Promise<Page> {
	const errors: string[] = [];
	const listeners: [string, (params: Json) => void][] = [];
	const forget = connection.on(sessionId, (method, params) => {
		for (const [wanted, listener] of listeners)
			if (wanted === method) listener(params);
	});
	const page: Page = {
		errors,
		send: (method, params) => connection.send(method, params, sessionId),
		on: (method, listener) => listeners.push([method, listener]),
		async goto(url) {
			const loaded = new Promise<void>((resolve) =>
				page.on("Page.loadEventFired", () => resolve()),
			);
			await page.send("Page.navigate", { url });
			await loaded;
		},
		async evaluate(expression) {
			const { result, exceptionDetails } = await page.send<{
				result: { value: never };
				exceptionDetails?: {
					text: string;
					exception?: { description?: string };
				};
			}>("Runtime.evaluate", {
				expression,
				awaitPromise: true,
				returnByValue: true,
				userGesture: true,
			});
			if (exceptionDetails)
				throw new Error(
					exceptionDetails.exception?.description ?? exceptionDetails.text,
				);
			return result.value;
		},
		async until(expression, timeoutMs = 60_000) {
			const end = performance.now() + timeoutMs;
			for (;;) {
				const value = await page.evaluate<never>(expression);
				if (value) return value;
				if (performance.now() > end)
					throw new Error(
						`after ${timeoutMs} ms not yet: ${expression}\n${errors.join("\n")}`,
					);
				await new Promise((resolve) => setTimeout(resolve, 50));
			}
		},
		async type(text) {
			for (const [i, line] of text.split("\n").entries()) {
				if (i > 0) await page.press("Enter");
				if (line) await page.send("Input.insertText", { text: line });
			}
		},
		async press(key, code = key) {
			const text = key === "Enter" ? { text: "\r" } : {};
			const windowsVirtualKeyCode = KEY_CODES[key] ?? 0;
			const event = { key, code, windowsVirtualKeyCode };
			await page.send("Input.dispatchKeyEvent", {
				type: "keyDown",
				...event,
				...text,
			});
			await page.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
		},
		async screenshot(file) {
			const { data } = await page.send<{ data: string }>(
				"Page.captureScreenshot",
			);
			writeFileSync(file, data, "base64");
		},
		async close() {
			forget();
			await connection.send("Target.closeTarget", { targetId });
		},
	};
	page.on("Runtime.exceptionThrown", ({ exceptionDetails }) => {
		const { text, exception } = exceptionDetails as {
			text: string;
			exception?: { description?: string };
		};
		errors.push(exception?.description ?? text);
	});
	page.on("Log.entryAdded", ({ entry }) => {
		const { level, text, url } = entry as Record<string, string>;
		if (level === "error") errors.push(`${text} ${url ?? ""}`);
	});
	for (const domain of ["Page", "Runtime", "Log"])
		await page.send(`${domain}.enable`);
	return page;
}

const KEY_CODES: Readonly<Record<string, number>> = {
	Enter: 13,
	Escape: 27,
	Tab: 9,
};
