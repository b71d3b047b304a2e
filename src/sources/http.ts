import { SourceError } from "../errors.ts";

export interface UrlOptions {
	/** Sent with every request, for example `{ authorization: "Bearer …" }`. Never part of an error. */
	readonly headers?: Readonly<Record<string, string>>;
	/** Makes the requests. @default the global `fetch` */
	readonly fetch?: typeof globalThis.fetch;
	/** Ends every request of this source; reading then rejects with the signal's reason. */
	readonly signal?: AbortSignal;
	/** How many times in a row a request that failed in passing is repeated; an integer from 0. @default 4 */
	readonly retries?: number;
	/** A connection that stays silent for so many milliseconds counts as dropped. @default 30000 */
	readonly idleMilliseconds?: number;
}

/** An address, and what may be said of it. */
export interface Address {
	readonly href: string;
	readonly headers: Readonly<Record<string, string>>;
	/** Without user, password, query and fragment, which may hold secrets. */
	readonly shown: string;
}

/** Bytes [start, end). */
export type Span = readonly [start: number, end: number];

/** What one request came to: a value, or a failure that another try may not meet. */
type Outcome<T> =
	| { readonly value: T }
	| { readonly failure: SourceError; readonly waitMilliseconds?: number };

const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);
const FIRST_WAIT_MILLISECONDS = 250;
/** Nobody watches a progress bar stand still for longer; the server's wish is then an error that names it. */
const LONGEST_WAIT_MILLISECONDS = 60_000;

export function addressOf(url: string | URL): Address {
	let parsed: URL;
	try {
		parsed = new URL(url);
	} catch {
		throw new SourceError("the address is not an absolute URL");
	}
	const shown = `${parsed.origin}${parsed.pathname}`;
	if (parsed.protocol !== "https:" && parsed.protocol !== "http:")
		throw new SourceError(
			`${parsed.protocol}//… cannot be read, expected http: or https:`,
		);
	const headers: Record<string, string> = {};
	if (parsed.username || parsed.password) {
		// fetch refuses addresses with credentials, and its error repeats them.
		const pair = `${decodeURIComponent(parsed.username)}:${decodeURIComponent(parsed.password)}`;
		const octets = new TextEncoder().encode(pair);
		headers.authorization = `Basic ${btoa(String.fromCharCode(...octets))}`;
		parsed.username = parsed.password = "";
	}
	return { href: parsed.href, headers, shown };
}

/**
 * Makes one GET request, repeats it while it fails in passing, and gives the answer to `receive`.
 * `receive` may read the body with `pieces`; a connection that drops meanwhile is repeated too, with the span that is
 * wanted by then where `span` is a function.
 */
export async function get<T>(
	address: Address,
	span: Span | (() => Span | undefined) | undefined,
	options: UrlOptions,
	receive: (
		response: Response,
		pieces: AsyncIterable<Uint8Array>,
	) => Promise<T>,
): Promise<T> {
	const retries = options.retries ?? 4;
	for (let tries = 0; ; tries++) {
		const wanted = typeof span === "function" ? span() : span;
		const outcome = await request(address, wanted, options, receive);
		if ("value" in outcome) return outcome.value;
		const wait =
			outcome.waitMilliseconds ??
			FIRST_WAIT_MILLISECONDS * 2 ** tries * (0.5 + Math.random() / 2);
		if (tries >= retries || wait > LONGEST_WAIT_MILLISECONDS)
			throw outcome.failure;
		await pause(wait, options.signal);
	}
}

async function request<T>(
	address: Address,
	span: Span | undefined,
	options: UrlOptions,
	receive: (
		response: Response,
		pieces: AsyncIterable<Uint8Array>,
	) => Promise<T>,
): Promise<Outcome<T>> {
	const { signal, idleMilliseconds = 30_000 } = options;
	signal?.throwIfAborted();
	const control = new AbortController();
	const stop = () => control.abort();
	signal?.addEventListener("abort", stop, { once: true });
	let timer: ReturnType<typeof setTimeout> | undefined;
	const heard = () => {
		clearTimeout(timer);
		timer = setTimeout(stop, idleMilliseconds);
	};
	heard();
	try {
		const response = await (options.fetch ?? fetch)(address.href, {
			headers: {
				...options.headers,
				...address.headers,
				// Offsets count the file's own bytes, so no content coding.
				...(span && {
					"accept-encoding": "identity",
					range: `bytes=${span[0]}-${span[1] - 1}`,
				}),
			},
			signal: control.signal,
		});
		if (PASSING.has(response.status)) return refusal(address, response);
		return { value: await receive(response, pieces(response, heard)) };
	} catch (cause) {
		signal?.throwIfAborted();
		if (cause instanceof SourceError) throw cause;
		const why = control.signal.aborted
			? `was silent for ${idleMilliseconds} ms`
			: "failed or was dropped";
		const message = `${address.shown}: the connection ${why}`;
		return {
			failure: new SourceError(message, { cause, url: address.shown }),
		};
	} finally {
		clearTimeout(timer);
		signal?.removeEventListener("abort", stop);
		control.abort();
	}
}

/** The error for an answer that is neither the file nor a reason to try again. */
export function refused(address: Address, response: Response): SourceError {
	const { status } = response;
	const hint =
		status === 401 || status === 403
			? " (does it need an authorization header, or a licence to be accepted?)"
			: status === 429
				? " (too many requests; with a token more may be allowed)"
				: "";
	return new SourceError(
		`${address.shown}: the server answered ${status}${hint}`,
		{ status, url: address.shown },
	);
}

function refusal(address: Address, response: Response): Outcome<never> {
	const error = refused(address, response);
	const waitMilliseconds = retryAfter(response);
	if (waitMilliseconds === undefined) return { failure: error };
	const failure = new SourceError(
		`${error.message} and asks to wait ${Math.ceil(waitMilliseconds / 1000)} s`,
		{ status: response.status, url: address.shown },
	);
	return { failure, waitMilliseconds };
}

/** Retry-After is a number of seconds or a date. */
function retryAfter(response: Response): number | undefined {
	const value = response.headers.get("retry-after");
	if (value === null) return undefined;
	const milliseconds = /^\s*\d+\s*$/.test(value)
		? Number(value) * 1000
		: Date.parse(value) - Date.now();
	return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

async function* pieces(
	response: Response,
	heard: () => void,
): AsyncGenerator<Uint8Array> {
	const reader = response.body?.getReader();
	if (!reader) return;
	try {
		for (;;) {
			const { done, value } = await reader.read();
			heard();
			if (done) return;
			yield value;
		}
	} finally {
		// Nothing to wait for: the caller may stop early, and a failed stream cannot be cancelled.
		reader.cancel().catch(() => {});
	}
}

function pause(
	milliseconds: number,
	signal: AbortSignal | undefined,
): Promise<void> {
	return new Promise((resolve, reject) => {
		const stop = () => {
			clearTimeout(timer);
			reject(signal?.reason);
		};
		const timer = setTimeout(() => {
			signal?.removeEventListener("abort", stop);
			resolve();
		}, milliseconds);
		signal?.addEventListener("abort", stop, { once: true });
	});
}
