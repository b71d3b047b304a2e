import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OptionError, SourceError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { type OpenHubOptions, openHub } from "../src/sources/hub.ts";
import {
	chooseQuant,
	parseHubName,
	parseHubUrl,
} from "../src/sources/hub-name.ts";
import { openSource } from "../src/sources/open.ts";
import { COMMIT, type HubServer } from "./hub-server.ts";
import { nanoFiles, serveNano } from "./nano-hub.ts";

const weights = nanoFiles.get("model.safetensors")!;
const config = nanoFiles.get("config.json")!;

let server: HubServer;
beforeEach(async () => {
	server = await serveNano();
});
afterEach(() => server.close());

/** Opens the server's model without a cache. */
const open = (
	hub: OpenHubOptions["hub"] = {},
	http: OpenHubOptions["http"] = {},
) =>
	openHub(
		{ repo: server.repo },
		{ hub: { endpoint: server.url, ...hub }, http },
	);

describe("a name", () => {
	test.each([
		["HuggingFaceTB/SmolLM3-3B", { repo: "HuggingFaceTB/SmolLM3-3B" }],
		["a/b@v1.0", { repo: "a/b", revision: "v1.0" }],
		["a/b@refs/pr/1", { repo: "a/b", revision: "refs/pr/1" }],
		["a/b:Q4_K_M", { repo: "a/b", quant: "Q4_K_M" }],
		["a/b@main:Q8_0", { repo: "a/b", revision: "main", quant: "Q8_0" }],
	])("%s is understood", (text, name) => {
		expect(parseHubName(text)).toEqual(name);
	});

	test.each([
		"model",
		"a/b/c",
		"./a/b",
		"/a/b",
		"../b",
		"a/..",
		"~/b",
		"a/b@",
		"a/b:",
		"a/b:x:y",
		"C:/models",
		"a--b/c",
		"a/b.git",
		"a /b",
		"",
	])("%s is none", (text) => {
		expect(parseHubName(text)).toBeUndefined();
	});

	test.each([
		["https://huggingface.co/a/b", { repo: "a/b" }],
		["https://hf.co/a/b/", { repo: "a/b" }],
		["https://huggingface.co/a/b/tree/v1", { repo: "a/b", revision: "v1" }],
		[
			"https://huggingface.co/a/b/blob/refs%2Fpr%2F1/x/y.gguf",
			{ repo: "a/b", revision: "refs/pr/1", file: "x/y.gguf" },
		],
		[
			"https://huggingface.co/a/b/resolve/main/y.gguf?download=true",
			{ repo: "a/b", revision: "main", file: "y.gguf" },
		],
		["https://huggingface.co/datasets/a", undefined],
		["https://huggingface.co/a/b/discussions/1", undefined],
		["https://huggingface.co/a/%zz", undefined],
		["https://example.org/a/b", undefined],
	])("as an address, %s", (url, name) => {
		expect(parseHubUrl(new URL(url))).toEqual(name);
	});
});

describe("a quant", () => {
	const files = [
		"README.md",
		"smol-BF16.gguf",
		"smol-F16.gguf",
		"smol-IQ4_XS.gguf",
		"smol-Q4_K_M.gguf",
		"smol-Q4_K_S.gguf",
		"smol-UD-Q4_K_XL.gguf",
		"smol.q5_k_m.gguf",
		"mmproj-smol-Q8_0.gguf",
		"Q8_0/smol-Q8_0-00001-of-00002.gguf",
		"Q8_0/smol-Q8_0-00002-of-00002.gguf",
	];
	test.each([
		["Q4_K_M", "smol-Q4_K_M.gguf"],
		["q4_k_m", "smol-Q4_K_M.gguf"],
		["Q5_K_M", "smol.q5_k_m.gguf"],
		["F16", "smol-F16.gguf"],
		["BF16", "smol-BF16.gguf"],
		["IQ4_XS", "smol-IQ4_XS.gguf"],
		["UD-Q4_K_XL", "smol-UD-Q4_K_XL.gguf"],
		["Q8_0", "Q8_0/smol-Q8_0-00001-of-00002.gguf"],
	])("%s names %s", (quant, file) => {
		expect(chooseQuant("a/b", files, quant)).toBe(file);
	});

	test("that is missing or not enough is told with what there is", () => {
		expect(() => chooseQuant("a/b", files, "Q4_K")).toThrow(
			/^a\/b: no GGUF file is "Q4_K"; there are smol-BF16.gguf, .*Q8_0/,
		);
		expect(() =>
			chooseQuant("a/b", [...files, "old/smol-F16.gguf"], "F16"),
		).toThrow('2 GGUF files are "F16"; there are smol-F16.gguf, old/smol');
		expect(() => chooseQuant("a/b", ["x.bin"], "F16")).toThrow("there is none");
		expect(() => chooseQuant("a/b", files, ".*")).toThrow(SourceError);
	});
});

describe("a model on the Hub, without a cache", () => {
	test("is a repository that is read by ranges from the CDN", async () => {
		const { from } = await open();
		expect(from.name).toBe("nano/smol");
		expect(await from.list()).toEqual([...nanoFiles.keys()]);
		expect(await from.open("nothing.json")).toBeUndefined();
		const source = await from.open("model.safetensors");
		expect(source?.size).toBe(weights.length);
		same(await source!.read(1_000_000, 99), weights.subarray(1e6, 1e6 + 99));
		same(
			await (await from.open("config.json"))!.read(0, 99),
			config.subarray(0, 99),
		);
		expect(server.log).toEqual([
			"hub GET /api/models/nano/smol/revision/main",
			`hub GET /api/models/nano/smol/tree/${COMMIT}`,
			`hub GET /nano/smol/resolve/${COMMIT}/model.safetensors bytes=0-65535`,
			expect.stringMatching(/^cdn GET .* bytes=0-65535$/),
			`hub GET /nano/smol/resolve/${COMMIT}/model.safetensors bytes=1000000-1000098`,
			expect.stringMatching(/^cdn GET .* bytes=1000000-1000098$/),
			`hub GET /nano/smol/resolve/${COMMIT}/config.json bytes=0-65535`,
		]);
	});

	test("holds a checkpoint", async () => {
		const { from } = await open();
		const checkpoint = await openCheckpoint(from);
		expect(checkpoint.config.model_type).toBe("smollm3");
		expect(checkpoint.tokenizer).toBeDefined();
		expect(checkpoint.tensors.size).toBeGreaterThan(20);
		await checkpoint.close();
	});

	test("is listed over many pages", async () => {
		server.pageSize = 2;
		const { from } = await open();
		expect(await from.list()).toEqual([...nanoFiles.keys()]);
		expect(server.log).toHaveLength(5);
	});

	test("stays at the commit it was opened at", async () => {
		const { from } = await open();
		server.refs.set("main", "f".repeat(40));
		server.refs.set("old", COMMIT);
		await from.open("config.json");
		expect(server.log.at(-1)).toContain(COMMIT);
	});

	test("is opened at a branch, or at a commit without asking what it is", async () => {
		server.refs.set("refs/pr/1", "f".repeat(40));
		await open({ revision: "refs/pr/1" });
		await open({ revision: COMMIT });
		expect(server.log).toEqual([
			"hub GET /api/models/nano/smol/revision/refs%2Fpr%2F1",
			`hub GET /api/models/nano/smol/tree/${"f".repeat(40)}`,
			`hub GET /api/models/nano/smol/tree/${COMMIT}`,
		]);
	});

	test("may have GGUF files, of which the name chooses one", async () => {
		for (const quant of ["Q4_0", "Q8_0"])
			server.files.set(`smol-${quant}.gguf`, { bytes: config, lfs: true });
		const hub = { endpoint: server.url };
		const chosen = await openSource("nano/smol:q8_0", { hub });
		expect(chosen.file).toBe("smol-Q8_0.gguf");
		await expect(openSource("nano/smol:Q2_K", { hub })).rejects.toThrow(
			'nano/smol: no GGUF file is "Q2_K"; there are smol-Q4_0.gguf, smol-Q8_0.gguf',
		);
	});
});

describe("a token", () => {
	test("opens what is private, and never reaches the CDN", async () => {
		server.token = "hf_sesame";
		const { from } = await open({ token: "hf_sesame" });
		const source = await from.open("model.safetensors");
		await source?.read(1_000_000, 9);
		expect(server.cdnHeaders).toHaveLength(2);
		for (const headers of server.cdnHeaders) {
			expect(headers.authorization).toBeUndefined();
			expect(JSON.stringify(headers)).not.toContain("sesame");
			expect(headers.range).toBeDefined();
		}
	});

	test("goes along when the Hub moves a model on itself", async () => {
		server.token = "hf_sesame";
		server.answer = (request, response) => {
			if (!request.url?.startsWith("/api/models/old/name/")) return false;
			const location = request.url.replace("old/name", "nano/smol");
			response.writeHead(307, { location }).end();
			return true;
		};
		const hub = { endpoint: server.url, token: "hf_sesame" };
		const { from } = await openHub({ repo: "old/name" }, { hub });
		expect(await from.list()).toHaveLength(nanoFiles.size);
	});

	test("does not follow a listing to another server", async () => {
		server.answer = (request, response) => {
			if (!request.url?.includes("/tree/")) return false;
			response
				.writeHead(200, { link: '<http://127.0.0.1:9/x>; rel="next"' })
				.end("[]");
			return true;
		};
		await expect(open({ token: "hf_sesame" })).rejects.toThrow(
			"continues on another server, http://127.0.0.1:9",
		);
	});

	test("is in no error", async () => {
		server.token = "other";
		const error = await rejection(open({ token: "hf_sesame" }));
		expect(Object.values(error).join() + error.stack).not.toContain("sesame");
	});
});

describe("a refusal says what to do", () => {
	test("about a licence", async () => {
		server.gated = "hf_member";
		const { from } = await open();
		expect(await rejection(from.open("model.safetensors"))).toMatchObject({
			status: 401,
			message: `nano/smol: its licence has to be accepted first, at ${server.url}/nano/smol; then give a token, as option \`hub.token\` or in HF_TOKEN (401)`,
		});
		const other = await open({ token: "hf_other" });
		expect(await rejection(other.from.open("config.json"))).toMatchObject({
			status: 403,
			message: expect.stringContaining("token of the account that accepted it"),
		});
		const member = await open({ token: "hf_member" });
		expect((await member.from.open("config.json"))?.size).toBe(config.length);
	});

	test.each([
		[
			"a private model",
			{ token: undefined },
			401,
			"needs a token: give a token",
		],
		[
			"a token that may not",
			{ token: "hf_no" },
			404,
			"the token may not read it",
		],
		["a token that ended", { token: "expired" }, 401, "the token is not valid"],
		["a revision", { revision: "v9" }, 404, "no such branch, tag or commit"],
	])("about %s", async (_, hub, status, message) => {
		if (!("revision" in hub)) server.token = "hf_sesame";
		const error = await rejection(open(hub));
		expect(error).toMatchObject({
			status,
			message: expect.stringMatching(/^nano\/smol: /),
		});
		expect(error.message).toContain(message);
	});

	test("about a model that does not exist", async () => {
		const hub = { endpoint: server.url };
		const error = await rejection(openSource("nano/nothing", { hub }));
		expect(error.message).toContain(
			`nano/nothing: there is no such model at ${server.url}`,
		);
	});

	test("about too many requests, after waiting as told", async () => {
		let refusals = 1;
		const tooMany = (after: string) => {
			server.answer = (_, response) => {
				if (refusals-- <= 0) return false;
				response.writeHead(429, { "retry-after": after }).end();
				return true;
			};
		};
		tooMany("0");
		await open();
		refusals = 1;
		tooMany("3600");
		expect(await rejection(open())).toMatchObject({
			status: 429,
			message: expect.stringMatching(/too many requests.*wait 3600 s/),
		});
	});
});

describe("a Hub that is not one", () => {
	const answers = (body: string, headers = {}) => {
		server.answer = (request, response) => {
			if (request.url?.includes("/revision/")) return false;
			response.writeHead(200, headers).end(body);
			return true;
		};
	};
	const file = {
		type: "file",
		path: "config.json",
		size: 1,
		oid: "a".repeat(40),
	};

	test.each([
		["no JSON", "<html>", "did not answer with JSON"],
		["no list", "{}", "is not a list of files"],
		[
			"a path to elsewhere",
			JSON.stringify([{ ...file, path: "../x" }]),
			"cannot be",
		],
		[
			"an absolute path",
			JSON.stringify([{ ...file, path: "/x" }]),
			"cannot be",
		],
		["a drive", JSON.stringify([{ ...file, path: "C:x" }]), "cannot be"],
		["no hash", JSON.stringify([{ ...file, oid: "../../x" }]), "cannot be"],
		["no size", JSON.stringify([{ ...file, size: -1 }]), "cannot be"],
		[
			"a large file of no hash",
			JSON.stringify([{ ...file, lfs: { size: 1 } }]),
			"cannot be",
		],
	])("because it answers with %s", async (_, body, message) => {
		answers(body);
		await expect(open()).rejects.toThrow(SourceError);
		await expect(open()).rejects.toThrow(message);
	});

	test("because its list has no end", async () => {
		const url = `${server.url}/api/models/nano/smol/tree/${COMMIT}?recursive=1`;
		answers("[]", { link: `<${url}>; rel="next"` });
		await expect(open()).rejects.toThrow("has no end");
	});

	test("because it names no commit", async () => {
		server.answer = (_, response) => {
			response.end('{"sha":"../.."}');
			return true;
		};
		await expect(open()).rejects.toThrow("names no commit");
	});

	test("because it redirects in a circle", async () => {
		server.answer = (request, response) => {
			response.writeHead(302, { location: request.url }).end();
			return true;
		};
		await expect(open({ token: "x" })).rejects.toThrow(SourceError);
		await expect(open({}, { retries: 0 })).rejects.toThrow(SourceError);
	});

	test("because it redirects to what is no server", async () => {
		server.answer = (_, response) => {
			response.writeHead(302, { location: "file:///etc/hosts" }).end();
			return true;
		};
		await expect(open({ token: "x" })).rejects.toThrow(
			"file://… cannot be read",
		);
	});

	test("because nobody is there", async () => {
		const endpoint = "http://127.0.0.1:9";
		const error = await rejection(open({ endpoint }, { retries: 0 }));
		expect(error.message).toContain(`${endpoint}/api/models`);
	});
});

describe("a source", () => {
	const none = async () => undefined;

	test("that is no path is looked for on the Hub", async () => {
		const options = { openPath: none, hub: { endpoint: server.url } };
		const { from } = await openSource("nano/smol", options);
		expect(from.name).toBe("nano/smol");
	});

	test("that is a path is not", async () => {
		const here = { name: "here", list: none, open: none };
		const { from } = await openSource("nano/smol", {
			openPath: async () => here,
		});
		expect(from).toBe(here);
	});

	test.each(["nano/smol.gguf", "./nano/smol", "smol", "a/b/c"])(
		"%s is a path in any case",
		async (path) => {
			await expect(openSource(path, { openPath: none })).rejects.toThrow(
				`${path}: no such file or folder`,
			);
		},
	);

	test("that names two revisions is refused", async () => {
		await expect(
			openSource("nano/smol@v1", { hub: { revision: "v2" } }),
		).rejects.toThrow(OptionError);
		await expect(
			openSource("nano/smol", { hub: { revision: "../x" } }),
		).rejects.toThrow(OptionError);
	});
});

/** Like toEqual, which takes seconds for a megabyte. */
function same(actual: Uint8Array, expected: Uint8Array) {
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
