import {
	describeError,
	type PostedError,
	rebuildError,
} from "./posted-errors.ts";
import {
	buffersOf,
	type Description,
	type Packed,
	pack,
	unpack,
} from "./wire.ts";

/** An end of a MessageChannel, a worker, or the inside of one. */
export interface Port {
	postMessage(message: unknown, transfer: Transferable[]): void;
	onmessage: ((event: MessageEvent) => void) | null;
}

/** What can be called through a channel, by name. */
export type Functions = Readonly<Record<string, (...args: never[]) => unknown>>;

/**
 * Calls functions of another thread. Arguments and results are copied; the buffers of typed arrays in a result are given
 * away. Arguments may hold functions and AbortSignals anywhere, which work on the other side until the call has ended.
 * Errors arrive as errors of the same class, and come back as the very objects that they were.
 */
export interface Channel {
	call<Result>(name: string, ...args: readonly unknown[]): Promise<Result>;
	/** Rejects all calls that have not ended, and all that are made from now on. */
	close(reason: Error): void;
}

type Message =
	| { type: "call"; call: number; target: string | number; args: Packed }
	| { type: "result"; call: number; value: Packed }
	| { type: "failure"; call: number; error: Packed }
	| { type: "abort"; signal: number; reason: Packed };

/** Forgets what a call has lent to the other side. */
type Lent = (() => void)[];

type AnyFunction = (...args: unknown[]) => unknown;

export function openChannel(port: Port, functions: Functions = {}): Channel {
	/** Functions and errors that the other side may name, and for functions the call that they were lent for. */
	const lendings = new Map<number, { value: unknown; lent: Lent }>();
	const waiting = new Map<
		number,
		{ resolve: (value: never) => void; reject: (error: unknown) => void }
	>();
	const signals = new Map<number, AbortController>();
	/** Errors of the other side, which know them by these numbers. */
	const theirs = new WeakMap<object, number>();
	let last = 0;
	let closed: Error | undefined;

	const post = (message: Message, transfer: Transferable[] = []) => {
		if (!closed) port.postMessage(message, transfer);
	};

	const lend = (value: unknown, lent: Lent): number => {
		const id = ++last;
		lendings.set(id, { value, lent });
		lent.push(() => lendings.delete(id));
		return id;
	};

	/** Without `lent` nothing outlives the message: functions and signals cannot be in it, errors do not come back. */
	const packWith = (value: unknown, lent?: Lent): Packed =>
		pack(value, (item): Description | undefined => {
			if (item instanceof Error) {
				const own = theirs.get(item);
				if (own !== undefined) return { kind: "yours", id: own };
				const id = lent && lend(item, lent);
				return {
					kind: "error",
					id,
					error: packWith(describeError(item), lent),
				};
			}
			if (item instanceof URL) return { kind: "url", href: item.href };
			if (!lent) return undefined;
			if (typeof item === "function")
				return { kind: "function", id: lend(item, lent) };
			return item instanceof AbortSignal
				? describeSignal(item, lent)
				: undefined;
		});

	const describeSignal = (signal: AbortSignal, lent: Lent): Description => {
		const id = ++last;
		const tell = () =>
			post({
				type: "abort",
				signal: id,
				reason: packWith(thrown(signal.reason), lent),
			});
		// After the call that it is lent for.
		if (signal.aborted) queueMicrotask(tell);
		signal.addEventListener("abort", tell, { once: true });
		lent.push(() => signal.removeEventListener("abort", tell));
		return { kind: "signal", id };
	};

	const unpackWith = (packed: Packed, borrowed?: Lent): unknown =>
		unpack(packed, (description) => {
			const { kind, id } = description as { kind: string; id: number };
			if (kind === "function")
				return (...args: unknown[]) => callTarget(id, args);
			if (kind === "signal") {
				const controller = new AbortController();
				signals.set(id, controller);
				borrowed?.push(() => signals.delete(id));
				return controller.signal;
			}
			if (kind === "url") return new URL(description.href as string);
			if (kind === "yours")
				return (
					lendings.get(id)?.value ??
					new Error("an error that has been forgotten")
				);
			const error = rebuildError(
				unpackWith(description.error as Packed) as PostedError,
			);
			if (id !== undefined) theirs.set(error, id);
			return error;
		});

	const callTarget = async <Result>(
		target: string | number,
		args: readonly unknown[],
	): Promise<Result> => {
		if (closed) throw closed;
		const call = ++last;
		const lent: Lent = [];
		try {
			return await new Promise<Result>((resolve, reject) => {
				waiting.set(call, { resolve, reject });
				post({ type: "call", call, target, args: packWith(args, lent) });
			});
		} finally {
			waiting.delete(call);
			for (const forget of lent) forget();
		}
	};

	const answer = async (message: Extract<Message, { type: "call" }>) => {
		const { call, target, args } = message;
		const borrowed: Lent = [];
		const lending =
			typeof target === "number" ? lendings.get(target) : undefined;
		try {
			const found =
				typeof target === "string" ? functions[target] : lending?.value;
			if (typeof found !== "function")
				throw new Error(`${target}: there is no such function, or no more`);
			const given = unpackWith(args, borrowed) as unknown[];
			const value = await (found as AnyFunction)(...given);
			post({ type: "result", call, value: packWith(value) }, buffersOf(value));
		} catch (error) {
			post({
				type: "failure",
				call,
				error: packWith(thrown(error), lending?.lent),
			});
		} finally {
			for (const forget of borrowed) forget();
		}
	};

	port.onmessage = ({ data }: MessageEvent<Message>) => {
		switch (data.type) {
			case "call":
				answer(data);
				break;
			case "result":
				waiting.get(data.call)?.resolve(unpackWith(data.value) as never);
				break;
			case "failure":
				waiting.get(data.call)?.reject(unpackWith(data.error));
				break;
			case "abort":
				signals.get(data.signal)?.abort(unpackWith(data.reason));
		}
	};

	return {
		call: (name, ...args) => callTarget(name, args),
		close(reason) {
			closed ??= reason;
			port.onmessage = null;
			for (const { reject } of waiting.values()) reject(closed);
		},
	};
}

/** What can be posted in place of something that was thrown. */
const thrown = (value: unknown): unknown =>
	value instanceof Error || !/object|function|symbol/.test(typeof value)
		? value
		: new Error(String(value));
