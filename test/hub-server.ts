import { createHash } from "node:crypto";
import {
	createServer,
	type IncomingMessage,
	type Server,
	type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** Answers a request instead of the server; returns false to let it answer. */
export type Answer = (
	request: IncomingMessage,
	response: ServerResponse,
) => boolean;

export interface ServedFile {
	readonly bytes: Uint8Array;
	/** Kept beside git and served by the CDN, as all large files are. */
	readonly lfs: boolean;
}

/** A Hub of one model on this machine, and the CDN that it sends people to for large files, on another port. */
export interface HubServer {
	/** The endpoint, without a slash at its end. */
	readonly url: string;
	readonly repo: string;
	/** Commits by branch or tag. */
	readonly refs: Map<string, string>;
	readonly files: Map<string, ServedFile>;
	/** "hub GET /path range" or "cdn …" of every request so far. */
	readonly log: string[];
	/** Headers of every request to the CDN. */
	readonly cdnHeaders: IncomingMessage["headers"][];
	/** Files per page of a listing. */
	pageSize: number;
	/** The only token that may read; undefined where everybody may. */
	token: string | undefined;
	/** The licence has to be accepted, which the account of this token has done. */
	gated: string | undefined;
	/** Answers in place of the Hub. */
	answer: Answer;
	/** Answers in place of the CDN. */
	cdnAnswer: Answer;
	/** Makes the CDN drop its next connections after so many bytes each. */
	drops: number[];
	close(): Promise<void>;
}

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

export const sha256Of = (bytes: Uint8Array): string =>
	createHash("sha256").update(bytes).digest("hex");

/** The hash of a git blob. */
export const gitSha1Of = (bytes: Uint8Array): string =>
	createHash("sha1")
		.update(`blob ${bytes.length}\0`)
		.update(bytes)
		.digest("hex");

export const etagOf = ({ bytes, lfs }: ServedFile): string =>
	lfs ? sha256Of(bytes) : gitSha1Of(bytes);

/** Honest unless told otherwise. */
export async function serveHub(repo = "nano/smol"): Promise<HubServer> {
	const cdn = createServer((request, response) => {
		if (allowPages(request, response)) return;
		served.log.push(`cdn ${described(request)}`);
		served.cdnHeaders.push(request.headers);
		if (served.cdnAnswer(request, response)) return;
		const hash = new URL(request.url ?? "", "http://cdn").pathname.slice(1);
		const file = [...served.files.values()].find(
			(file) => sha256Of(file.bytes) === hash,
		);
		// A signature in the address is all the permission there is.
		if (!file || !request.url?.includes("Signature="))
			return void response.writeHead(403).end();
		send(request, response, file, served.drops.shift());
	});
	const hub = createServer((request, response) => {
		if (allowPages(request, response)) return;
		served.log.push(`hub ${described(request)}`);
		if (served.answer(request, response)) return;
		// Another host too, not only another port: by that Python tells who may see what.
		const cdnUrl = addressOf(cdn).replace("127.0.0.1", "localhost");
		answerHub(served, `${cdnUrl}/`, request, response);
	});
	for (const server of [hub, cdn])
		await new Promise<void>((resolve) =>
			server.listen(0, "127.0.0.1", resolve),
		);
	const served: HubServer = {
		url: addressOf(hub),
		repo,
		refs: new Map([["main", COMMIT]]),
		files: new Map(),
		log: [],
		cdnHeaders: [],
		pageSize: 1000,
		token: undefined,
		gated: undefined,
		answer: () => false,
		cdnAnswer: () => false,
		drops: [],
		async close() {
			for (const server of [hub, cdn]) {
				server.closeAllConnections();
				await new Promise((resolve) => server.close(resolve));
			}
		},
	};
	return served;
}

function answerHub(
	served: HubServer,
	cdn: string,
	request: IncomingMessage,
	response: ServerResponse,
): ServerResponse {
	const { pathname, searchParams } = new URL(request.url ?? "", served.url);
	const path = decodeURIComponent(pathname);
	const sent = request.headers.authorization?.replace("Bearer ", "");
	const refuse = (status: number, code: string, message = code) =>
		response
			.writeHead(status, { "x-error-code": code, "x-error-message": message })
			.end(JSON.stringify({ error: message }));
	if (sent === "expired")
		return refuse(401, "", "Invalid credentials in Authorization header");
	const api = `/api/models/${served.repo}/`;
	const files = `/${served.repo}/resolve/`;
	if (!path.startsWith(api) && !path.startsWith(files))
		return refuse(sent ? 404 : 401, "RepoNotFound", "Repository not found");
	if (served.token !== undefined && sent !== served.token)
		return refuse(sent ? 404 : 401, "RepoNotFound", "Repository not found");

	if (path.startsWith(api)) {
		const [kind, ...steps] = path.slice(api.length).split("/");
		const commit = commitOf(served, steps.join("/"));
		if (!commit) return refuse(404, "RevisionNotFound", "Invalid rev id");
		const body =
			kind === "revision"
				? { id: served.repo, sha: commit }
				: page(served, response, pathname, Number(searchParams.get("cursor")));
		response.setHeader("content-type", "application/json");
		return response.end(JSON.stringify(body));
	}

	const [revision = "", ...steps] = pathname.slice(files.length).split("/");
	const commit = commitOf(served, decodeURIComponent(revision));
	if (!commit) return refuse(404, "RevisionNotFound", "Invalid rev id");
	response.setHeader("x-repo-commit", commit);
	if (served.gated !== undefined && sent !== served.gated)
		return refuse(sent ? 403 : 401, "GatedRepo", "Access is restricted");
	const file = served.files.get(decodeURIComponent(steps.join("/")));
	if (!file) return refuse(404, "EntryNotFound", "Entry not found");
	if (!file.lfs) return send(request, response, file);
	return response
		.writeHead(302, {
			location: `${cdn}${sha256Of(file.bytes)}?Signature=secret`,
			"x-linked-etag": `"${etagOf(file)}"`,
			"x-linked-size": file.bytes.length,
		})
		.end();
}

/** Lets pages of other servers read, as the Hub does; answers when a browser asks for permission first. */
function allowPages(
	request: IncomingMessage,
	response: ServerResponse,
): boolean {
	response.setHeader("access-control-allow-origin", "*");
	response.setHeader("access-control-allow-headers", "authorization, range");
	response.setHeader(
		"access-control-expose-headers",
		"content-range, etag, link, x-error-code, x-error-message",
	);
	if (request.method === "OPTIONS") response.writeHead(204).end();
	return request.method === "OPTIONS";
}

const commitOf = ({ refs }: HubServer, revision: string) =>
	refs.get(revision) ??
	[...refs.values()].find((commit) => commit === revision);

/** A page of the listing, and in a header where the next one is. */
function page(
	{ files, pageSize, url }: HubServer,
	response: ServerResponse,
	path: string,
	start: number,
): unknown[] {
	if (start + pageSize < files.size)
		response.setHeader(
			"link",
			`<${url}${path}?recursive=1&cursor=${start + pageSize}>; rel="next"`,
		);
	return [...files].slice(start, start + pageSize).map(([path, file]) => {
		const size = file.bytes.length;
		const pointer = new TextEncoder().encode(etagOf(file));
		return {
			type: "file",
			path,
			size,
			oid: file.lfs ? gitSha1Of(pointer) : etagOf(file),
			...(file.lfs && { lfs: { oid: etagOf(file), size, pointerSize: 134 } }),
		};
	});
}

function send(
	request: IncomingMessage,
	response: ServerResponse,
	file: ServedFile,
	dropAfter?: number,
): ServerResponse {
	const { bytes } = file;
	const [, first, last] =
		/^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
	const start = Number(first ?? 0);
	const end = Math.min(Number(last || bytes.length - 1) + 1, bytes.length);
	response.setHeader("etag", `"${etagOf(file)}"`);
	response.setHeader("accept-ranges", "bytes");
	if (first !== undefined && start >= bytes.length)
		return response
			.writeHead(416, { "content-range": `bytes */${bytes.length}` })
			.end();
	response.writeHead(first === undefined ? 200 : 206, {
		"content-length": end - start,
		...(first !== undefined && {
			"content-range": `bytes ${start}-${end - 1}/${bytes.length}`,
		}),
	});
	if (request.method === "HEAD") return response.end();
	const body = bytes.subarray(start, end);
	if (dropAfter === undefined) return response.end(body);
	response.write(body.subarray(0, dropAfter), () =>
		setTimeout(() => response.destroy(), 10),
	);
	return response;
}

const described = ({ method, url = "", headers }: IncomingMessage) =>
	`${method} ${url.split("?")[0]}${headers.range ? ` ${headers.range}` : ""}`;

const addressOf = (server: Server) =>
	`http://127.0.0.1:${(server.address() as AddressInfo).port}`;
