import {
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SourceError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { hubCache } from "../src/runtime/hub-cache.ts";
import { storageCache } from "../src/runtime/web-cache.ts";
import type { Storage } from "../src/runtime/web-storage.ts";
import type { DownloadProgress, HubCache } from "../src/sources/cache.ts";
import { type OpenHubOptions, openHub } from "../src/sources/hub.ts";
import { COMMIT, type HubServer, sha256Of } from "./hub-server.ts";
import { nanoFiles, serveNano } from "./nano-hub.ts";

const WEIGHTS = "model.safetensors";
const weights = nanoFiles.get(WEIGHTS)!;
const PART_BYTES = 2 ** 20;
const BLOB = `models--nano--smol/blobs/${sha256Of(weights)}`;

/** A cache, and how to damage its copy of the weights. */
interface Place {
	readonly cache: HubCache;
	damage: Record<"flipped" | "truncated" | "emptied", () => void>;
	/** Whether unfinished files or locks are left. */
	isClean(): boolean;
	/** Bytes that are kept of a download that ended after `bytes`. */
	kept(bytes: number): number;
	end(): void;
}

function folderPlace(): Place {
	const folder = mkdtempSync(join(tmpdir(), "nibble-cache-"));
	const blob = join(folder, BLOB);
	return {
		cache: hubCache(folder),
		damage: {
			flipped() {
				const bytes = readFileSync(blob);
				bytes[1_000_000]! ^= 1;
				writeFileSync(blob, bytes);
			},
			truncated: () => truncateSync(blob, 1_000_000),
			emptied: () => truncateSync(blob, 0),
		},
		isClean: () =>
			readdirSync(folder, { recursive: true }).every(
				(name) => !/\.(incomplete|lock|tmp)$/.test(`${name}`),
			),
		kept: (bytes) => bytes,
		end: () => rmSync(folder, { recursive: true }),
	};
}

function storagePlace(): Place {
	const pieces = new Map<string, Blob>();
	const storage: Storage = {
		name: "a map",
		read: async (name) => pieces.get(name),
		write: async (name, bytes) =>
			void pieces.set(name, new Blob([new Uint8Array(bytes)])),
		async remove(name) {
			for (const key of pieces.keys())
				if (key === name || key.startsWith(`${name}/`)) pieces.delete(key);
		},
	};
	return {
		cache: storageCache(storage, PART_BYTES),
		damage: {
			flipped() {
				const bytes = weights.slice(PART_BYTES, 2 * PART_BYTES);
				bytes[9]! ^= 1;
				pieces.set(`${BLOB}/1`, new Blob([bytes]));
			},
			truncated: () => pieces.delete(`${BLOB}/4`),
			emptied: () => pieces.set(`${BLOB}/2`, new Blob()),
		},
		isClean: () =>
			[...pieces.keys()].every(
				(name) =>
					!name.includes("/blobs/") ||
					pieces.has(name.replace(/[^/]*$/, "size")),
			),
		kept: (bytes) => bytes - (bytes % PART_BYTES),
		end: () => {},
	};
}

describe.each([
	["a folder", folderPlace],
	["a page's storage", storagePlace],
])("%s as a cache", (_, make) => {
	let server: HubServer;
	let place: Place;
	beforeEach(async () => {
		server = await serveNano();
		place = make();
	});
	afterEach(async () => {
		place.end();
		await server.close();
	});

	const open = (
		hub: OpenHubOptions["hub"] = {},
		options: OpenHubOptions = {},
	) =>
		openHub(
			{ repo: server.repo },
			{
				hub: { endpoint: server.url, ...hub },
				surroundings: { openCache: async () => place.cache },
				...options,
			},
		);
	/** The weights through the cache. */
	const fetchWeights = async (
		hub?: OpenHubOptions["hub"],
		options?: OpenHubOptions,
	) => {
		const { from } = await open(hub, options);
		const source = (await from.open(WEIGHTS))!;
		const bytes = await source.read(0, source.size);
		await source.close?.();
		return bytes;
	};
	const requests = (kind: string) =>
		server.log.filter((line) => line.startsWith(kind));

	test("gives what the Hub has, and asks for it once", async () => {
		for (let i = 0; i < 2; i++) {
			const { from } = await open();
			for (const [name, expected] of nanoFiles) {
				const source = (await from.open(name))!;
				same(await source.read(0, source.size), expected);
				same(await source.read(9, 30), expected.subarray(9, 39));
				await source.close?.();
			}
			expect(await from.open("nothing")).toBeUndefined();
		}
		expect(requests("hub GET /nano/smol/resolve")).toHaveLength(nanoFiles.size);
		expect(requests("cdn")).toHaveLength(1);
		expect(requests("hub GET /api")).toHaveLength(3);
		expect(place.isClean()).toBe(true);

		server.log.length = 0;
		await fetchWeights({ revision: COMMIT });
		expect(server.log).toEqual([]);
	});

	test("holds a checkpoint", async () => {
		for (let i = 0; i < 2; i++) {
			const checkpoint = await openCheckpoint((await open()).from);
			const [tensor] = checkpoint.tensors.values();
			expect(tensor).toBeDefined();
			await checkpoint.close();
		}
	});

	test("shares files between commits", async () => {
		await fetchWeights();
		server.refs.set("main", "f".repeat(40));
		same(await fetchWeights(), weights);
		expect(requests("cdn")).toHaveLength(1);
	});

	test("reports what happens", async () => {
		const events: DownloadProgress[] = [];
		const onProgress = (event: DownloadProgress) => events.push(event);
		await fetchWeights({}, { onProgress });
		const file = { file: WEIGHTS, total: weights.length };
		expect(events.slice(0, 2)).toEqual([
			{ status: "initiate", ...file, loaded: 0, progress: 0 },
			{ status: "download", ...file, loaded: 0, progress: 0 },
		]);
		const done = { ...file, loaded: weights.length, progress: 100 };
		expect(events.at(-1)).toEqual({ status: "done", ...done });
		let last = 0;
		for (const { status, loaded, progress } of events.slice(2, -1)) {
			expect(status).toBe("progress");
			expect(loaded).toBeGreaterThan(last);
			expect(progress).toBeCloseTo((100 * loaded) / weights.length);
			last = loaded;
		}
		events.length = 0;
		await fetchWeights({}, { onProgress });
		expect(events.map(({ status }) => status)).toEqual(["initiate", "done"]);
	});

	test("takes up a dropped connection where it ended", async () => {
		server.drops = [1_500_000, 10, 2_000_000];
		same(await fetchWeights(), weights);
		const [first, ...next] = requests("cdn").map(startOf);
		expect(first).toBe(0);
		expect(next).toHaveLength(3);
		for (const [i, start] of next.entries())
			expect(start).toBeGreaterThanOrEqual([first!, ...next][i]!);
		expect(place.isClean()).toBe(true);
	});

	test("takes up a download that was given up", async () => {
		server.drops = [2_500_000];
		const http = { retries: 0 };
		server.answer = () => server.log.length > 4;
		const failed = fetchWeights(
			{},
			{ http: { ...http, idleMilliseconds: 300 } },
		);
		await expect(failed).rejects.toThrow(SourceError);
		expect(place.isClean()).toBe(false);

		server.answer = () => false;
		server.log.length = 0;
		same(await fetchWeights(), weights);
		const [start] = requests("cdn").map(startOf);
		expect(start).toBeGreaterThanOrEqual(place.kept(1_000_000));
		expect(start).toBe(place.kept(start!));
		expect(requests("cdn")).toHaveLength(1);
		expect(place.isClean()).toBe(true);
	});

	test("takes up a download that was called off", async () => {
		const slow = slowly(server);
		const control = new AbortController();
		const reason = new Error("enough");
		const called = fetchWeights(
			{},
			{
				signal: control.signal,
				onProgress: ({ loaded }) => {
					if (loaded > 0) control.abort(reason);
				},
			},
		);
		const error = await called.catch((error: unknown) => error);
		expect(error).toBe(reason);
		slow.stop();
		server.cdnAnswer = () => false;
		same(await fetchWeights(), weights);
	});

	test("passes over what it has where a server knows no ranges", async () => {
		server.drops = [3_000_000];
		let requests = 0;
		server.cdnAnswer = (request) => {
			if (requests++ > 0) delete request.headers.range;
			return false;
		};
		same(await fetchWeights(), weights);
		expect(requests).toBe(2);
	});

	test("gives up on a connection that says nothing", async () => {
		server.cdnAnswer = () => true;
		const http = { idleMilliseconds: 50, retries: 1 };
		await expect(fetchWeights({}, { http })).rejects.toThrow(
			"was silent for 50 ms",
		);
		server.cdnAnswer = () => false;
		same(await fetchWeights({}, { http: { idleMilliseconds: 5000 } }), weights);
	});

	test.each([
		["other bytes", weights.map((byte) => byte ^ 1)],
		["a page of a portal", new TextEncoder().encode("<html>Log in</html>")],
		["too much", new Uint8Array(weights.length + 10)],
		["too little", weights.slice(0, 3_000_000)],
	])("refuses %s, and does better the next time", async (_, wrong) => {
		server.cdnAnswer = (_, response) => {
			response.end(wrong);
			return true;
		};
		const error = await rejection(fetchWeights({}, { http: { retries: 0 } }));
		expect(error.message).toMatch(/hashes to|dropped|sent more/);
		server.cdnAnswer = () => false;
		same(await fetchWeights(), weights);
		expect(place.isClean()).toBe(true);
	});

	test("refuses a file whose size changed", async () => {
		server.cdnAnswer = (_, response) => {
			response
				.writeHead(206, { "content-range": "bytes 0-8/9" })
				.end(new Uint8Array(9));
			return true;
		};
		await expect(fetchWeights()).rejects.toThrow(
			`the file has 9 bytes, expected ${weights.length}`,
		);
	});

	test("starts anew when what an earlier attempt left is wrong", async () => {
		let wrong = true;
		server.cdnAnswer = (_, response) => {
			if (!wrong) return false;
			wrong = false;
			response.writeHead(200, { "content-length": weights.length });
			response.write(new Uint8Array(2_500_000), () => response.destroy());
			return true;
		};
		same(await fetchWeights(), weights);
		expect(requests("cdn").map(startOf).at(-1)).toBe(0);
	});

	test.each(["flipped", "truncated", "emptied"] as const)(
		"fetches a %s file again",
		async (how) => {
			await fetchWeights();
			place.damage[how]();
			same(await fetchWeights(), weights);
			expect(requests("cdn")).toHaveLength(2);
			same(await fetchWeights(), weights);
			expect(requests("cdn")).toHaveLength(2);
		},
	);

	const canLock = make === folderPlace || globalThis.navigator?.locks;
	test.skipIf(!canLock)(
		`is asked once by two at a time${canLock ? "" : " (this runtime has no Web Locks)"}`,
		async () => {
			const slow = slowly(server);
			const both = await Promise.all([fetchWeights(), fetchWeights()]);
			for (const bytes of both) same(bytes, weights);
			expect(requests("cdn")).toHaveLength(1);
			slow.stop();
		},
	);

	test("serves alone, with localFilesOnly", async () => {
		const hub = { localFilesOnly: true };
		await expect(fetchWeights(hub)).rejects.toThrow("main is not in the cache");
		await fetchWeights();
		server.log.length = 0;
		same(await fetchWeights(hub), weights);
		const { from } = await open(hub);
		expect(from.name).toBe("nano/smol (only what is cached)");
		await expect(from.open("config.json")).rejects.toThrow(
			"nano/smol: the Hub is not asked, because of localFilesOnly or HF_HUB_OFFLINE, and config.json is not in the cache",
		);
		place.damage.truncated();
		await expect(fetchWeights(hub)).rejects.toThrow("is not in the cache");
		expect(server.log).toEqual([]);
	});

	test("serves while the Hub is away", async () => {
		await fetchWeights();
		server.answer = (_, response) => {
			response.writeHead(503).end();
			return true;
		};
		const http = { retries: 0 };
		same(await fetchWeights({}, { http }), weights);
		const error = await rejection(
			open({}, { http }).then(({ from }) => from.open("config.json")),
		);
		expect(error).toMatchObject({ status: 503 });
		expect(error.message).toContain("and config.json is not in the cache");
		same(
			await fetchWeights({ endpoint: "http://127.0.0.1:9" }, { http }),
			weights,
		);
	});

	test("is left alone by who only looks at a large file", async () => {
		const large = new Uint8Array(20 * 2 ** 20).fill(5);
		server.files.set("large.gguf", { bytes: large, lfs: true });
		const { from } = await open();
		const source = (await from.open("large.gguf"))!;
		expect(source.size).toBe(large.length);
		same(await source.read(0, 100), large.subarray(0, 100));
		same(await source.read(2e6, 1e6), large.subarray(2e6, 3e6));
		await expect(source.read(large.length, 1)).rejects.toThrow(SourceError);
		expect(requests("cdn").map((line) => line.split(" ")[3])).toEqual([
			"bytes=0-65535",
			"bytes=2000000-2999999",
		]);

		// In earnest, and by two at a time.
		server.log.length = 0;
		const reads = [source.read(0, 19e6), source.read(3e6, 1000)];
		for (const [i, bytes] of (await Promise.all(reads)).entries())
			same(bytes, large.subarray(0, [19e6, 1000][i]));
		expect(requests("cdn").map((line) => line.split(" ")[3])).toEqual([
			undefined,
		]);
		await source.close?.();
		await source.close?.();

		server.log.length = 0;
		const again = (await from.open("large.gguf"))!;
		same(await again.read(2e6, 100), large.subarray(2e6, 2e6 + 100));
		await again.close?.();
		expect(server.log).toEqual([]);
	});

	test("is not used with cache: false", async () => {
		same(await fetchWeights({ cache: false }), weights);
		await expect(fetchWeights({ localFilesOnly: true })).rejects.toThrow(
			SourceError,
		);
	});

	test("keeps an empty file", async () => {
		server.files.set("empty.json", { bytes: new Uint8Array(0), lfs: false });
		for (let i = 0; i < 2; i++) {
			const { from } = await open();
			const source = (await from.open("empty.json"))!;
			expect(source.size).toBe(0);
			await source.close?.();
		}
		expect(requests("hub GET /nano/smol/resolve")).toEqual([]);
	});
});

/** Lets the CDN answer in small pieces, so that others come meanwhile. */
function slowly(server: HubServer) {
	const timers: NodeJS.Timeout[] = [];
	server.cdnAnswer = (_, response) => {
		response.writeHead(200, { "content-length": weights.length });
		let at = 0;
		const timer = setInterval(() => {
			response.write(weights.subarray(at, at + 500_000));
			at += 500_000;
			if (at < weights.length) return;
			clearInterval(timer);
			response.end();
		}, 20);
		timers.push(timer);
		return true;
	};
	return { stop: () => timers.forEach(clearInterval) };
}

/** Where an answer was asked to begin. */
const startOf = (line: string) => Number(/bytes=(\d+)/.exec(line)?.[1] ?? 0);

/** Like toEqual, which takes seconds for a megabyte. */
function same(actual: Uint8Array, expected: Uint8Array) {
	expect(actual.length).toBe(expected.length);
	expect(Buffer.compare(actual, expected)).toBe(0);
}

async function rejection(promise: Promise<unknown>): Promise<SourceError> {
	const error = await promise.then(
		() => undefined,
		(error: unknown) => error,
	);
	expect(error).toBeInstanceOf(SourceError);
	return error as SourceError;
}
