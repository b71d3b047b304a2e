import {
	createServer,
	type IncomingMessage,
	type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** Answers a request instead of the file server below; returns false to let it answer. */
export type Answer = (
	request: IncomingMessage,
	response: ServerResponse,
) => boolean;

export interface FileServer {
	/** Address of the root, "http://127.0.0.1:1234/". */
	readonly url: string;
	readonly files: Map<string, { bytes: Uint8Array; tag?: string }>;
	/** "path range" of every request so far. */
	readonly log: string[];
	answer: Answer;
	/** Answer with whole files only. */
	ranges: boolean;
	close(): Promise<void>;
}

/** A file server on this machine, honest unless told otherwise. */
export async function serveFiles(): Promise<FileServer> {
	const server = createServer((request, response) => {
		const path = decodeURIComponent(
			new URL(request.url ?? "/", "http://localhost").pathname.slice(1),
		);
		served.log.push(`${path} ${request.headers.range ?? "whole"}`);
		if (served.answer(request, response)) return;
		const file = served.files.get(path);
		if (!file) return void response.writeHead(404).end("no such file");
		const { bytes, tag } = file;
		if (tag) response.setHeader("etag", tag);
		const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
		if (!range || !served.ranges) return void response.end(bytes);
		const start = Number(range[1]);
		const end = Math.min(Number(range[2]) + 1, bytes.length);
		if (start >= bytes.length)
			return void response
				.writeHead(416, { "content-range": `bytes */${bytes.length}` })
				.end();
		response.writeHead(206, {
			"content-range": `bytes ${start}-${end - 1}/${bytes.length}`,
			"content-length": end - start,
		});
		response.end(bytes.subarray(start, end));
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as AddressInfo;
	const served: FileServer = {
		url: `http://127.0.0.1:${port}/`,
		files: new Map(),
		log: [],
		answer: () => false,
		ranges: true,
		close: () =>
			new Promise((resolve) => {
				server.closeAllConnections();
				server.close(() => resolve());
			}),
	};
	return served;
}
