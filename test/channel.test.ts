import { afterEach, describe, expect, test } from "vitest";
import { CheckpointError, SourceError } from "../src/errors.ts";
import {
	type Channel,
	type Functions,
	openChannel,
	type Port,
} from "../src/runtime/channel.ts";

const ports: MessagePort[] = [];
afterEach(() => {
	for (const port of ports.splice(0)) port.close();
});

/** The calling end of a channel to these functions. */
function channelTo(functions: Functions): Channel {
	const { port1, port2 } = new MessageChannel();
	ports.push(port1, port2);
	openChannel(port2 as Port, functions);
	return openChannel(port1 as Port);
}

/** What a promise rejects with. */
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
	promise.then(
		() => expect.unreachable("it did not fail"),
		(error) => error,
	);

describe("values", () => {
	test("arrive as copies, with functions in them that can be called", async () => {
		const { call } = channelTo({
			async twice(
				value: { deep: [{ add: (n: number) => Promise<number> }] },
				n: number,
			) {
				return (await value.deep[0].add(n)) + (await value.deep[0].add(n));
			},
			same: (value: unknown) => value,
		});
		const added: number[] = [];
		const add = (n: number) => added.push(n);
		expect(await call("twice", { deep: [{ add }] }, 5)).toBe(3);
		expect(added).toEqual([5, 5]);
		const value = {
			list: [1, [2]],
			map: new Map([[1, { a: 2 }]]),
			no: null,
			url: new URL("http://x/y"),
		};
		const copy = await call("same", value);
		expect(copy).toEqual(value);
		expect(copy).not.toBe(value);
	});

	test("give away buffers that a result wholly owns, and copy the others", async () => {
		const whole = Float32Array.of(1, 2, 3);
		const shares = new Float32Array(8).subarray(2, 4);
		const { call } = channelTo({ whole: () => [whole], shares: () => shares });
		expect(await call("whole")).toEqual([Float32Array.of(1, 2, 3)]);
		expect(whole.length).toBe(0);
		expect(await call("shares")).toEqual(new Float32Array(2));
		expect(shares.length).toBe(2);
	});

	test("cannot hold what nothing can carry", async () => {
		const { call } = channelTo({ same: (x: unknown) => x, f: () => () => {} });
		await expect(call("same", Symbol())).rejects.toThrow(/could not be cloned/);
		await expect(call("f")).rejects.toThrow(/could not be cloned/);
		await expect(call("missing")).rejects.toThrow(/no such function/);
		expect(await call("same", 1)).toBe(1);
	});
});

describe("errors", () => {
	test("keep class, message, properties and cause", async () => {
		const cause = new CheckpointError("inner");
		const { call } = channelTo({
			fail() {
				throw new SourceError("outer", { cause, status: 404, url: "http://x" });
			},
			native() {
				throw new RangeError("wide");
			},
			aborted() {
				throw new DOMException("gone", "AbortError");
			},
			plain: () => Promise.reject("text"),
			odd: () => Promise.reject({ at: () => {} }),
		});
		const error = (await failureOf(call("fail"))) as SourceError;
		expect(error).toBeInstanceOf(SourceError);
		expect(error).toMatchObject({
			name: "SourceError",
			message: "outer",
			status: 404,
			url: "http://x",
		});
		expect(error.stack).toContain("channel.test");
		expect(error.cause).toBeInstanceOf(CheckpointError);
		expect(Object.keys(error)).not.toContain("cause");
		expect(await failureOf(call("native"))).toBeInstanceOf(RangeError);
		expect(await failureOf(call("aborted"))).toMatchObject({
			name: "AbortError",
			message: "gone",
		});
		expect(await failureOf(call("plain"))).toBe("text");
		expect(await failureOf(call("odd"))).toEqual(new Error("[object Object]"));
	});

	test("of a lent function come back as the same object", async () => {
		const { call } = channelTo({ run: (f: () => unknown) => f() });
		const error = new Error("mine");
		const fail = () => {
			throw error;
		};
		expect(await failureOf(call("run", fail))).toBe(error);
	});
});

describe("signals", () => {
	const { wait } = {
		wait: (signal: AbortSignal) =>
			new Promise((_, reject) => {
				signal.addEventListener("abort", () => reject(signal.reason));
			}),
	};

	test("reach the other side, and their reason comes back as the same object", async () => {
		const { call } = channelTo({ wait });
		const controller = new AbortController();
		const waiting = failureOf(call("wait", controller.signal));
		const reason = new Error("enough");
		controller.abort(reason);
		expect(await waiting).toBe(reason);
		expect(await failureOf(call("wait", controller.signal))).toBe(reason);
		expect(await failureOf(call("wait", AbortSignal.abort("why")))).toBe("why");
		expect(await failureOf(call("wait", AbortSignal.timeout(1)))).toMatchObject(
			{ name: "TimeoutError" },
		);
	});
});

describe("ends", () => {
	test("what was lent is gone after the call", async () => {
		let kept: (() => Promise<void>) | undefined;
		const { call } = channelTo({
			keep(f: () => Promise<void>) {
				kept = f;
			},
		});
		await call("keep", () => {});
		await expect(kept!()).rejects.toThrow(/or no more/);
	});

	test("closing rejects what runs and what comes", async () => {
		const channel = channelTo({ never: () => new Promise(() => {}) });
		const running = failureOf(channel.call("never"));
		const reason = new Error("closed");
		channel.close(reason);
		expect(await running).toBe(reason);
		expect(await failureOf(channel.call("never"))).toBe(reason);
	});
});
