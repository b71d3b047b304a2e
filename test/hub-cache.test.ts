import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
	existsSync,
	lstatSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	rmSync,
	statSync,
	symlinkSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { buildSync } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { lockFile } from "../src/runtime/file-lock.ts";
import { hubCache } from "../src/runtime/hub-cache.ts";
import { hubSurroundings } from "../src/runtime/hub-surroundings.ts";
import { type OpenHubOptions, openHub } from "../src/sources/hub.ts";
import {
	COMMIT,
	etagOf,
	gitSha1Of,
	type HubServer,
	sha256Of,
} from "./hub-server.ts";
import { nanoFiles, serveNano } from "./nano-hub.ts";

const WEIGHTS = "model.safetensors";
const weights = nanoFiles.get(WEIGHTS)!;
const config = nanoFiles.get("config.json")!;

let server: HubServer;
let folder: string;
let repo: string;
beforeEach(async () => {
	server = await serveNano();
	folder = mkdtempSync(join(tmpdir(), "nibble-hub-"));
	repo = join(folder, "models--nano--smol");
});
afterEach(async () => {
	rmSync(folder, { recursive: true });
	await server.close();
});

/** A file through the cache in `folder`. */
async function fetchFile(
	path: string,
	hub: OpenHubOptions["hub"] = {},
): Promise<Uint8Array> {
	const { from } = await openHub(
		{ repo: server.repo },
		{
			hub: { endpoint: server.url, ...hub },
			surroundings: { openCache: async () => hubCache(folder) },
		},
	);
	const source = (await from.open(path))!;
	const bytes = await source.read(0, source.size);
	await source.close?.();
	return bytes;
}
const offline = { localFilesOnly: true };

/** Writes a file as Python's huggingface_hub does. */
function pythonKeeps(path: string, bytes: Uint8Array, lfs: boolean) {
	const etag = etagOf({ bytes, lfs });
	const snapshot = join(repo, "snapshots", COMMIT, path);
	for (const file of [join(repo, "blobs", etag), snapshot])
		mkdirSync(dirname(file), { recursive: true });
	writeFileSync(join(repo, "blobs", etag), bytes);
	const up = "../".repeat(1 + path.split("/").length);
	symlinkSync(`${up}blobs/${etag}`, snapshot);
	mkdirSync(join(repo, "refs"), { recursive: true });
	writeFileSync(join(repo, "refs", "main"), COMMIT);
}

describe("the layout", () => {
	test("is that of Python's huggingface_hub", async () => {
		server.files.set("gguf/q8.gguf", { bytes: config, lfs: true });
		server.refs.set("refs/pr/1", COMMIT);
		await fetchFile(WEIGHTS);
		await fetchFile("config.json");
		await fetchFile("gguf/q8.gguf", { revision: "refs/pr/1" });

		const snapshot = join(repo, "snapshots", COMMIT);
		const links = [WEIGHTS, "config.json", "gguf/q8.gguf"].map((path) =>
			readlinkSync(join(snapshot, path)),
		);
		expect(links).toEqual([
			`../../blobs/${sha256Of(weights)}`,
			`../../blobs/${gitSha1Of(config)}`,
			`../../../blobs/${sha256Of(config)}`,
		]);
		expect(readFileSync(join(repo, "refs/main"), "utf8")).toBe(COMMIT);
		expect(readFileSync(join(repo, "refs/refs/pr/1"), "utf8")).toBe(COMMIT);
		const tree = JSON.parse(
			readFileSync(join(repo, "trees", `${COMMIT}.json`), "utf8"),
		);
		expect(tree.format_version).toBe(1);
		expect(tree.files["config.json"]).toEqual({
			size: config.length,
			blob_id: gitSha1Of(config),
		});
		expect(tree.files[WEIGHTS]).toMatchObject({
			size: weights.length,
			lfs_sha256: sha256Of(weights),
			lfs_size: weights.length,
		});
		expect(readdirSync(join(repo, "blobs")).sort()).toEqual(
			[sha256Of(weights), gitSha1Of(config), sha256Of(config)].sort(),
		);
	});

	test("that Python left is used, online and offline", async () => {
		pythonKeeps(WEIGHTS, weights, true);
		pythonKeeps("config.json", config, false);
		same(await fetchFile(WEIGHTS, offline), weights);
		same(await fetchFile("config.json", offline), config);
		same(await fetchFile(WEIGHTS), weights);
		expect(server.log.filter((line) => !line.includes("/api/"))).toEqual([]);
	});

	test("that Python left is found by a commit while the Hub is away", async () => {
		pythonKeeps("config.json", config, false);
		await server.close();
		server = await serveNano();
		const hub = { revision: COMMIT, endpoint: "http://127.0.0.1:9" };
		same(await fetchFile("config.json", hub), config);
	});

	test("may have copies instead of links, and links that lead nowhere", async () => {
		const snapshot = join(repo, "snapshots", COMMIT);
		mkdirSync(snapshot, { recursive: true });
		writeFileSync(join(snapshot, "config.json"), config);
		symlinkSync("../../blobs/gone", join(snapshot, WEIGHTS));
		mkdirSync(join(repo, "refs"));
		writeFileSync(join(repo, "refs/main"), COMMIT);
		same(await fetchFile("config.json", offline), config);
		same(await fetchFile("config.json"), config);
		expect(lstatSync(join(snapshot, "config.json")).isFile()).toBe(true);
		same(await fetchFile(WEIGHTS), weights);
		expect(
			server.log.filter((line) => line.includes("/resolve/")),
		).toHaveLength(1);
	});

	test("may have a blob that is itself a link, into a store that repositories share", async () => {
		const stored = join(folder, "blobs", "ab", "ab01");
		mkdirSync(dirname(stored), { recursive: true });
		writeFileSync(stored, weights);
		mkdirSync(join(repo, "blobs"), { recursive: true });
		symlinkSync("../../blobs/ab/ab01", join(repo, "blobs", sha256Of(weights)));
		same(await fetchFile(WEIGHTS), weights);
		expect(server.log.filter((line) => line.startsWith("cdn"))).toEqual([]);
		// Damaged, it is replaced here and left alone there.
		writeFileSync(stored, "damage");
		same(await fetchFile(WEIGHTS), weights);
		expect(readFileSync(stored, "utf8")).toBe("damage");
	});

	test.each([
		"{",
		"[]",
		'{"format_version":2,"files":{}}',
		'{"format_version":1,"files":{"../x":{"size":1,"blob_id":"a"}}}',
	])("with a damaged list of files is repaired: %s", async (text) => {
		mkdirSync(join(repo, "trees"), { recursive: true });
		const path = join(repo, "trees", `${COMMIT}.json`);
		writeFileSync(path, text);
		same(await fetchFile("config.json"), config);
		expect(readFileSync(path, "utf8")).not.toBe(text);
	});

	test("with a damaged reference is repaired", async () => {
		await fetchFile("config.json");
		writeFileSync(join(repo, "refs/main"), "../../../etc");
		await expect(fetchFile("config.json", offline)).rejects.toThrow(
			"main is not in the cache",
		);
		await fetchFile("config.json");
		same(await fetchFile("config.json", offline), config);
	});

	test("that cannot be written is an error that says where", async () => {
		const file = join(folder, "file");
		writeFileSync(file, "");
		const opened = openHub(
			{ repo: server.repo },
			{
				hub: { endpoint: server.url, cache: file },
				surroundings: { openCache: async (path = "") => hubCache(path) },
			},
		);
		await expect(
			opened.then(({ from }) => from.open("config.json")),
		).rejects.toThrow(/cannot be written: .*\/file\/.*HF_HUB_CACHE/);
	});
});

test("a large file is hashed when it is new or was touched, and not each time", async () => {
	const bytes = new Uint8Array(17 * 2 ** 20).fill(7);
	server.files.set("large.bin", { bytes, lfs: true });
	const hashed: string[] = [];
	const fetchLarge = async () => {
		const cache = hubCache(folder);
		const openCache = async () => ({
			...cache,
			hasher(algorithm: "sha1" | "sha256") {
				hashed.push(algorithm);
				return cache.hasher(algorithm);
			},
		});
		const { from } = await openHub(
			{ repo: server.repo },
			{ hub: { endpoint: server.url }, surroundings: { openCache } },
		);
		const source = (await from.open("large.bin"))!;
		await source.read(0, source.size);
		await source.close?.();
		return hashed.splice(0).length;
	};
	pythonKeeps("large.bin", bytes, true);
	expect(await fetchLarge()).toBe(1);
	expect(await fetchLarge()).toBe(0);
	const blob = join(repo, "blobs", sha256Of(bytes));
	utimesSync(blob, new Date(), new Date());
	expect(await fetchLarge()).toBe(1);
	expect(await fetchLarge()).toBe(0);
	expect(server.log.filter((line) => line.startsWith("cdn"))).toEqual([]);
	bytes[99] = 1;
	writeFileSync(blob, bytes);
	bytes[99] = 7;
	// Before and under the lock, and what was fetched.
	expect(await fetchLarge()).toBe(3);
	expect(await fetchLarge()).toBe(0);
	expect(server.log.filter((line) => line.startsWith("cdn"))).toHaveLength(1);
});

describe("the environment", () => {
	const none = { HF_TOKEN_PATH: "/nonexistent/token" };
	test("says the token, the endpoint and whether to stay offline", async () => {
		expect(await hubSurroundings(none)).toMatchObject({
			token: undefined,
			endpoint: undefined,
			offline: false,
		});
		expect(
			await hubSurroundings({
				HF_TOKEN: "hf_a\n",
				HF_ENDPOINT: "https://mirror.example",
				HF_HUB_OFFLINE: "1",
			}),
		).toMatchObject({
			token: "hf_a",
			endpoint: "https://mirror.example",
			offline: true,
		});
		writeFileSync(join(folder, "token"), "hf_saved\n");
		const saved = { HF_HOME: folder };
		expect(await hubSurroundings(saved)).toMatchObject({ token: "hf_saved" });
		expect(
			await hubSurroundings({ ...saved, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }),
		).toMatchObject({ token: undefined });
	});

	test.each([
		[
			"HF_HUB_CACHE",
			(at: string) => ({ HF_HUB_CACHE: at, HF_HOME: "/none" }),
			"",
		],
		["HF_HOME", (at: string) => ({ HF_HOME: at }), "hub"],
		[
			"XDG_CACHE_HOME",
			(at: string) => ({ XDG_CACHE_HOME: at }),
			"huggingface/hub",
		],
		[
			"variables in variables",
			(at: string) => ({
				// biome-ignore lint/suspicious/noTemplateCurlyInString: as shells spell it
				HF_HUB_CACHE: "$BASE/${BELOW}/$NONE",
				BASE: at,
				BELOW: "a$b",
			}),
			"a$b/$NONE",
		],
	])("says by %s where the cache is", async (_, env, below) => {
		const { openCache } = await hubSurroundings({ ...none, ...env(folder) });
		await (await openCache?.())?.writeRef("a/b", "main", COMMIT);
		expect(existsSync(join(folder, below, "models--a--b/refs/main"))).toBe(
			true,
		);
	});
});

describe("processes", () => {
	let script: string;
	beforeEach(() => {
		script = join(folder, "fetch.mjs");
		buildSync({
			entryPoints: ["test/hub-fetch.ts"],
			bundle: true,
			platform: "node",
			format: "esm",
			outfile: script,
			logLevel: "error",
		});
	});
	const args = () => [script, server.url, server.repo, folder, WEIGHTS];
	const fetchInProcess = async () => {
		const { stdout } = await promisify(execFile)(process.execPath, args());
		return JSON.parse(stdout) as { sha256: string; statuses: string[] };
	};
	const unfinished = join("blobs", `${sha256Of(weights)}.nibble.incomplete`);

	test("that want one file at the same time fetch it once", async () => {
		server.cdnAnswer = (_, response) => {
			// Long enough for all to come and ask.
			setTimeout(() => response.end(weights), 1500);
			return true;
		};
		const all = await Promise.all([1, 2, 3].map(fetchInProcess));
		for (const { sha256 } of all) expect(sha256).toBe(sha256Of(weights));
		const fetched = all.filter(({ statuses }) => statuses.includes("download"));
		expect(fetched).toHaveLength(1);
		expect(server.log.filter((line) => line.startsWith("cdn"))).toHaveLength(1);
	});

	test("that die leave what they have to the next", async () => {
		server.cdnAnswer = (_, response) => {
			response.writeHead(200, { "content-length": weights.length });
			response.write(weights.subarray(0, 3_000_000));
			return true;
		};
		const dying: ChildProcess = spawn(process.execPath, args());
		const partial = join(repo, unfinished);
		while (!existsSync(partial) || statSync(partial).size < 3_000_000)
			await new Promise((resolve) => setTimeout(resolve, 20));
		dying.kill("SIGKILL");
		await new Promise((resolve) => dying.on("exit", resolve));
		expect(readdirSync(join(folder, ".locks/models--nano--smol"))).toHaveLength(
			1,
		);

		server.cdnAnswer = () => false;
		const start = performance.now();
		const { sha256 } = await fetchInProcess();
		expect(sha256).toBe(sha256Of(weights));
		expect(performance.now() - start).toBeLessThan(10_000);
		expect(server.log.at(-1)).toMatch(/^cdn .* bytes=3000000-/);
		expect(existsSync(partial)).toBe(false);
		expect(readdirSync(join(folder, ".locks/models--nano--smol"))).toEqual([]);
	});

	test("that stopped elsewhere lose their lock after a while, and others wait", async () => {
		const lock = join(folder, "blob.lock");
		const elsewhere = { host: `not ${hostname()}`, pid: process.pid };
		for (const text of ["", JSON.stringify(elsewhere)]) {
			writeFileSync(lock, text);
			const start = performance.now();
			const release = await lockFile(lock, undefined, 400);
			expect(performance.now() - start).toBeGreaterThan(390);
			await release();
			expect(existsSync(lock)).toBe(false);
		}
		const release = await lockFile(lock);
		const signal = AbortSignal.timeout(300);
		const error = await lockFile(lock, signal).catch((error) => error);
		expect(error).toBe(signal.reason);
		const next = lockFile(lock);
		await release();
		await (await next)();
	});

	test("give back no lock that has become another's", async () => {
		const lock = join(folder, "blob.lock");
		const release = await lockFile(lock);
		rmSync(lock);
		const other = await lockFile(lock);
		await release();
		expect(existsSync(lock)).toBe(true);
		await other();
		expect(existsSync(lock)).toBe(false);
	});
});

/** Like toEqual, which takes seconds for a megabyte. */
function same(actual: Uint8Array, expected: Uint8Array) {
	expect(actual.length).toBe(expected.length);
	expect(Buffer.compare(actual, expected)).toBe(0);
}
