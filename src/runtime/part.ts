/** What a worker thread runs. The build bundles this file into a text, so that no bundler has to find it. */
import { type FromPart, servePart, type ToPart } from "../engine/worker.ts";

interface Port {
	postMessage(message: FromPart): void;
	on(event: "message", listener: (message: ToPart) => void): void;
}

interface Threads {
	readonly isMainThread: boolean;
	readonly parentPort: Port | null;
}

const builtin = (
	globalThis as { process?: { getBuiltinModule?(name: string): unknown } }
).process?.getBuiltinModule?.("node:worker_threads") as Threads | undefined;
// Bun's threads of this kind have a global postMessage too, which reaches nobody: so the port is tried first.
const port = builtin?.isMainThread === false ? builtin.parentPort : null;
if (port) {
	port.on("message", (start) =>
		servePart(start, (message) => port.postMessage(message)),
	);
} else {
	const scope = globalThis as unknown as Worker;
	scope.onmessage = ({ data }: MessageEvent<ToPart>) =>
		servePart(data, (message) => scope.postMessage(message));
}
