import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { type Usage, usageBelow } from "./processes.ts";

/** A web server over a folder. */
export interface Site {
	/** Ends with a slash. */
	readonly url: string;
	/** What the next page posts to /report. */
	nextReport(): Promise<string>;
	/** What the processes that this one started took at each post to /mark. */
	readonly marks: readonly Usage[];
	close(): void;
}

const TYPES: Readonly<Record<string, string>> = {
	".css": "text/css",
	".html": "text/html",
	".js": "text/javascript",
	".mjs": "text/javascript",
	".json": "application/json",
	".svg": "image/svg+xml",
};

/** What a page has to be sent with, so that it may share memory with its workers. */
export const ISOLATION = {
	"cross-origin-opener-policy": "same-origin",
	"cross-origin-embedder-policy": "require-corp",
};

/** Serves a folder with range requests; every answer gets these headers. */
export async function openSite(
	folder: string,
	always: Readonly<Record<string, string>> = {},
): Promise<Site> {
	let reported: (report: string) => void = () => {};
	const marks: Usage[] = [];
	const server = createServer(async (request, response) => {
		const headers = {
			"cache-control": "no-store",
			"access-control-allow-origin": "*",
			...always,
		};
		const { pathname } = new URL(request.url ?? "/", "http://localhost");
		if (request.method === "POST" && pathname === "/report") {
			reported(await bodyOf(request));
			response.writeHead(204, headers).end();
			return;
		}
		if (request.method === "POST" && pathname === "/mark") {
			marks.push(usageBelow());
			response.writeHead(204, headers).end();
			return;
		}
		const path = join(folder, decodeURIComponent(pathname));
		const found = await stat(path).catch(() => undefined);
		if (!found?.isFile()) {
			response.writeHead(404, headers).end();
			return;
		}
		const type = TYPES[extname(path)] ?? "application/octet-stream";
		const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
		const start = Number(range?.[1] ?? 0);
		const end = Math.min(Number(range?.[2] || Infinity), found.size - 1);
		response.writeHead(range ? 206 : 200, {
			...headers,
			"content-type": type,
			"content-length": end - start + 1,
			"accept-ranges": "bytes",
			...(range
				? { "content-range": `bytes ${start}-${end}/${found.size}` }
				: {}),
		});
		createReadStream(path, { start, end }).pipe(response);
	});
	await new Promise<void>((resolve) =>
		server.listen(0, "127.0.0.1", () => resolve()),
	);
	const { port } = server.address() as AddressInfo;
	return {
		url: `http://127.0.0.1:${port}/`,
		marks,
		nextReport: () =>
			new Promise((resolve) => {
				reported = resolve;
			}),
		close() {
			server.closeAllConnections();
			server.close();
		},
	};
}

async function bodyOf(request: IncomingMessage): Promise<string> {
	let body = "";
	for await (const piece of request) body += piece;
	return body;
}
