import { SourceError } from "../errors.ts";
import {
	type Address,
	addressOf,
	get,
	refused,
	type UrlOptions,
} from "./http.ts";
import { checkRange } from "./range.ts";
import type { ByteSource, Repository } from "./source.ts";

export type { UrlOptions } from "./http.ts";

/** The first request asks for so much: it tells the size and whether ranges work, and holds small files whole. */
const PROBE_BYTES = 64 * 2 ** 10;
/** A connection that brought this much before it dropped was a good one: failures are counted anew. */
export const GOOD_BYTES = 2 ** 20;

/**
 * A file behind an HTTP(S) address. With a server that answers range requests only what is read is fetched;
 * any other file is downloaded once, into memory. A file that changes between two reads is an error.
 * Failures are SourceErrors with `status` (where there was an answer) and `url`.
 */
export async function urlSource(
	url: string | URL,
	options: UrlOptions = {},
): Promise<ByteSource> {
	const address = addressOf(url);
	const probed = await get(
		address,
		[0, PROBE_BYTES],
		options,
		async (response, pieces) => {
			const range = contentRange(response);
			if (response.status === 416 && range?.size === 0)
				return { size: 0, kept: [] };
			if (response.status === 200) return download(pieces);
			if (response.status !== 206) throw refused(address, response);
			// A server of another origin may hide Content-Range from a page.
			if (!range) return undefined;
			if (range.start !== 0 || range.end > PROBE_BYTES)
				throw unexpected(address, response);
			const { kept, size } = await download(pieces);
			if (size !== range.end) throw new Error("the connection ended early");
			return { size: range.size, kept, version: versionOf(response) };
		},
	);
	const { size, kept, version } =
		probed ??
		(await get(address, undefined, options, (response, pieces) => {
			if (response.status !== 200) throw refused(address, response);
			return download(pieces);
		}));

	const keptBytes = kept.reduce((sum, piece) => sum + piece.length, 0);
	return {
		name: address.shown,
		size,
		async read(offset, length, into) {
			checkRange({ name: address.shown, size }, offset, length, into);
			const target = into?.subarray(0, length) ?? new Uint8Array(length);
			if (offset + length <= keptBytes) copy(kept, offset, target);
			else await fetchRange(address, options, offset, target, size, version);
			return target;
		},
	};
}

/** The files below an HTTP(S) folder as a repository. It cannot be listed; a file is missing where the server answers 404. */
export function urlRepository(
	base: string | URL,
	options: UrlOptions = {},
): Repository {
	const { shown } = addressOf(base);
	const folder = new URL(base);
	if (!folder.pathname.endsWith("/")) folder.pathname += "/";
	return {
		name: shown,
		list: async () => undefined,
		async open(file) {
			const steps = file.split("/");
			if (steps.some((step) => step === "" || step === "." || step === ".."))
				return undefined;
			const url = new URL(folder);
			url.pathname += steps.map(encodeURIComponent).join("/");
			try {
				return await urlSource(url, options);
			} catch (error) {
				const gone =
					error instanceof SourceError &&
					(error.status === 404 || error.status === 410);
				if (gone) return undefined;
				throw error;
			}
		},
	};
}

/** Fills `target` from the file's bytes at `offset`, taking up a dropped connection where it ended. */
async function fetchRange(
	address: Address,
	options: UrlOptions,
	offset: number,
	target: Uint8Array,
	size: number,
	version: Version | undefined,
): Promise<void> {
	let done = 0;
	while (done < target.length) {
		const start = done;
		await get(
			address,
			[offset + start, offset + target.length],
			options,
			async (response, pieces) => {
				done = start;
				if (response.status === 200 || response.status === 416)
					throw changed(address, response);
				if (response.status !== 206) throw refused(address, response);
				const range = contentRange(response);
				if (
					range &&
					(range.size !== size || differ(version, versionOf(response)))
				)
					throw changed(address, response);
				if (range && range.start !== offset + start)
					throw unexpected(address, response);
				try {
					for await (const piece of pieces) {
						if (done + piece.length > target.length)
							throw unexpected(address, response);
						target.set(piece, done);
						done += piece.length;
					}
				} catch (error) {
					if (error instanceof SourceError || done - start < GOOD_BYTES)
						throw error;
				}
				if (done < target.length && done - start < GOOD_BYTES)
					throw new Error("the answer ended early");
			},
		);
	}
}

/** Keeps the body in the pieces it came in: nothing is allocated that a header merely announces. */
async function download(pieces: AsyncIterable<Uint8Array>): Promise<{
	size: number;
	kept: Uint8Array[];
	version?: Version;
}> {
	const kept: Uint8Array[] = [];
	let size = 0;
	for await (const piece of pieces) {
		kept.push(piece);
		size += piece.length;
	}
	return { size, kept };
}

function copy(
	pieces: readonly Uint8Array[],
	offset: number,
	target: Uint8Array,
) {
	let start = 0;
	for (const piece of pieces) {
		const from = Math.max(0, offset - start);
		const to = Math.min(piece.length, offset + target.length - start);
		if (from < to) target.set(piece.subarray(from, to), start + from - offset);
		start += piece.length;
	}
}

/** `bytes 0-99/1234`, or `bytes * /1234` for a range outside the file; undefined where it is absent or hidden. */
export function contentRange(
	response: Response,
): { start: number; end: number; size: number } | undefined {
	const value = response.headers.get("content-range") ?? "";
	const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+)$/.exec(value.trim());
	if (!match) return undefined;
	const [, first, last, size] = match;
	return {
		start: Number(first ?? 0),
		end: Number(last ?? -1) + 1,
		size: Number(size),
	};
}

/** What tells one state of a file from another. */
interface Version {
	readonly tag: string | undefined;
	readonly modified: string | undefined;
}

function versionOf({ headers }: Response): Version {
	return {
		tag: headers.get("etag")?.replace(/^W\//, ""),
		modified: headers.get("last-modified") ?? undefined,
	};
}

/**
 * Answers are compared here, instead of by the server with If-Range: with that header a browser asks another origin for
 * permission first, which many servers refuse. What a server does not tell, or hides from a page, cannot differ.
 */
function differ(a: Version | undefined, b: Version): boolean {
	const [before, now] =
		a?.tag && b.tag ? [a.tag, b.tag] : [a?.modified, b.modified];
	return before !== undefined && now !== undefined && before !== now;
}

function changed(address: Address, response: Response): SourceError {
	return new SourceError(
		`${address.shown}: the file changed while it was read, or its server stopped answering range requests`,
		{ status: response.status, url: address.shown },
	);
}

function unexpected(address: Address, response: Response): SourceError {
	return new SourceError(
		`${address.shown}: the server sent another range than the one asked for (${response.headers.get("content-range")})`,
		{ status: response.status, url: address.shown },
	);
}
