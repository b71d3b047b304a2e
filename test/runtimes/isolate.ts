/** What an isolate's heap takes, in bytes. The memories of WebAssembly are not part of it. */
export interface Heap {
	/** Objects and strings. */
	readonly usedSize: number;
	/** What array buffers hold. */
	readonly backingStorageSize: number;
}

/** A look into an isolate of workerd, through its inspector. */
export interface Isolate {
	heap(): Promise<Heap>;
	/** Asks for a collection of garbage; it is done when `heap` answers next. */
	collectGarbage(): void;
	close(): void;
}

/** What of the package "ws" is used: Node 20 has no WebSocket. */
interface Socket {
	on(event: "open", listener: () => void): void;
	on(event: "error", listener: (error: Error) => void): void;
	on(event: "message", listener: (data: unknown) => void): void;
	send(text: string): void;
	close(): void;
}

/**
 * @param inspector as Miniflare gives it: ws://127.0.0.1:port/
 * @param require where "ws" can be had
 */
export async function inspectIsolate(
	inspector: URL,
	require: NodeJS.Require,
): Promise<Isolate> {
	const list = new URL("/json", inspector.href.replace("ws:", "http:"));
	const targets = (await (await fetch(list)).json()) as {
		readonly id: string;
		readonly webSocketDebuggerUrl: string;
	}[];
	const target = targets.find(({ id }) => id.startsWith("core:user:"))!;
	const { WebSocket } = require("ws");
	const socket: Socket = new WebSocket(target.webSocketDebuggerUrl);
	await new Promise<void>((resolve, reject) => {
		socket.on("open", resolve);
		socket.on("error", reject);
	});
	const waiting = new Map<number, (result: unknown) => void>();
	let last = 0;
	const send = (method: string) => {
		const id = ++last;
		socket.send(JSON.stringify({ id, method }));
		return new Promise<unknown>((resolve) => waiting.set(id, resolve));
	};
	socket.on("message", (data) => {
		const { id, result } = JSON.parse(String(data));
		waiting.get(id)?.(result);
		waiting.delete(id);
	});
	return {
		heap: async () => (await send("Runtime.getHeapUsage")) as Heap,
		// workerd never answers this one.
		collectGarbage: () => void send("HeapProfiler.collectGarbage"),
		close: () => socket.close(),
	};
}
