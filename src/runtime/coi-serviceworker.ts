/**
 * Makes pages cross-origin isolated where the server cannot be told to send the headers, so that threads can share memory.
 * One classic script with two lives: in a page it registers itself as a service worker and has the page asked for once
 * more; as that service worker it adds the headers to pages and workers. It has to lie where its scope begins.
 */

/** What this file uses of a service worker's own global scope, for which this project has no types. */
interface ServiceWorkerScope {
	readonly location: { readonly search: string };
	readonly clients: { claim(): Promise<void> };
	skipWaiting(): Promise<void>;
	addEventListener(
		type: string,
		listener: (event: {
			readonly request: Request;
			respondWith(response: Promise<Response>): void;
			waitUntil(promise: Promise<void>): void;
		}) => void,
	): void;
}

const RELOADED = "nibble-lm: reloaded to be isolated";

function serve(scope: ServiceWorkerScope): void {
	const policy =
		new URLSearchParams(scope.location.search).get("coep") ?? "require-corp";
	scope.addEventListener("install", () => scope.skipWaiting());
	scope.addEventListener("activate", (event) =>
		event.waitUntil(scope.clients.claim()),
	);
	scope.addEventListener("fetch", (event) => {
		const { mode, destination } = event.request;
		// Everything else keeps its way, such as gigabytes of weights.
		if (mode === "navigate" || /worker$/.test(destination))
			event.respondWith(isolated(event.request, policy));
	});
}

async function isolated(request: Request, policy: string): Promise<Response> {
	const response = await fetch(request);
	// Redirects are followed by the browser, which asks again.
	if (response.type === "opaqueredirect") return response;
	const { body, status, statusText } = response;
	const headers = new Headers(response.headers);
	headers.set("cross-origin-opener-policy", "same-origin");
	headers.set("cross-origin-embedder-policy", policy);
	return new Response(body, { status, statusText, headers });
}

async function register(script: HTMLScriptElement): Promise<void> {
	const { serviceWorker } = navigator;
	if (crossOriginIsolated) {
		sessionStorage.removeItem(RELOADED);
		return;
	}
	if (!serviceWorker)
		return console.warn(
			"nibble-lm: not isolated, because there are no service workers here; they need https: or localhost",
		);
	if (sessionStorage.getItem(RELOADED))
		return console.warn(
			"nibble-lm: not isolated, although the page was reloaded through the service worker",
		);
	const url = new URL(script.src);
	if (script.dataset.coep) url.searchParams.set("coep", script.dataset.coep);
	await serviceWorker.register(url);
	await serviceWorker.ready;
	sessionStorage.setItem(RELOADED, "1");
	location.reload();
}

if (typeof document === "undefined")
	serve(globalThis as unknown as ServiceWorkerScope);
else {
	const script = document.currentScript as HTMLScriptElement;
	register(script).catch((error) =>
		console.warn(`nibble-lm: not isolated: ${error}`),
	);
}
