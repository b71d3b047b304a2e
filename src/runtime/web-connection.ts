import { EngineError } from "../errors.ts";
import { type Channel, openChannel } from "./channel.ts";

/** The way to an engine. */
export interface Connection {
	readonly channel: Channel;
	/** Why the engine has no thread of its own; undefined where it has. */
	readonly here: string | undefined;
	/** Ends the engine, whatever it does. Calls that have not ended reject with the reason. */
	close(reason: Error): Promise<void>;
}

/** Starts an engine in a worker, or where that cannot be, on this thread. */
export async function connectEngine(): Promise<Connection> {
	if (typeof Worker !== "function")
		return connectHere(
			"this runtime has no workers, or none where this code runs",
		);
	try {
		return await connectWorker();
	} catch (error) {
		return connectHere((error as Error).message);
	}
}

async function connectWorker(): Promise<Connection> {
	const { source } = await import("../embedded/engine.js");
	const url = URL.createObjectURL(
		new Blob([source], { type: "text/javascript" }),
	);
	try {
		const worker = new Worker(url, {
			type: "module",
			name: "nibble-lm engine",
		});
		const channel = openChannel(worker);
		const close = async (reason: Error) => {
			channel.close(reason);
			worker.terminate();
		};
		worker.onerror = ({ message }: ErrorEvent) =>
			close(
				new EngineError(
					`the engine's worker ${message ? `failed: ${message}` : "did not start; does the content security policy allow worker-src blob:?"}`,
				),
			);
		await channel.call("ready");
		return { channel, here: undefined, close };
	} finally {
		URL.revokeObjectURL(url);
	}
}

async function connectHere(here: string): Promise<Connection> {
	const { serveModel } = await import("./web-here.ts");
	const { port1, port2 } = new MessageChannel();
	serveModel(port1);
	const channel = openChannel(port2);
	return {
		channel,
		here,
		async close(reason) {
			await channel.call("dispose").catch(() => {});
			channel.close(reason);
			port2.close();
		},
	};
}
