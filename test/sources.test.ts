import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SourceError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { blobSource, filesRepository } from "../src/sources/blob.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import type { ByteSource } from "../src/sources/source.ts";
import { urlRepository, urlSource } from "../src/sources/url.ts";
import { fixture } from "./fixture.ts";
import { type FileServer, serveFiles } from "./http-files.ts";

const KIB = 2 ** 10;
const bytes = Uint8Array.from({ length: 300 * KIB }, (_, i) => (i * 7919) >> 5);

let server: FileServer;
beforeEach(async () => {
	server = await serveFiles();
	server.files.set("model.bin", { bytes, tag: '"one"' });
});
afterEach(() => server.close());

const make: Record<string, () => Promise<ByteSource>> = {
	bytes: async () => bytesSource(bytes),
	"an ArrayBuffer": async () => bytesSource(bytes.buffer),
	"a Blob": async () => blobSource(new Blob([bytes])),
	"a URL with ranges": () => urlSource(`${server.url}model.bin`),
	"a URL without ranges": () => {
		server.ranges = false;
		return urlSource(`${server.url}model.bin`);
	},
};

describe.each(Object.entries(make))("%s as a source", (_, open) => {
	test("reads every part of the file", async () => {
		const source = await open();
		expect(source.size).toBe(bytes.length);
		for (const [offset, length] of [
			[0, 16],
			[1, 0],
			[65_530, 12],
			[70_000, 100_000],
			[bytes.length - 3, 3],
			[bytes.length, 0],
			[0, bytes.length],
		] as const)
			same(
				await source.read(offset, length),
				bytes.subarray(offset, offset + length),
			);
	});

	test("reads into shared memory, and nothing beside it", async () => {
		const source = await open();
		const memory = new Uint8Array(new SharedArrayBuffer(200 * KIB)).fill(9);
		const into = memory.subarray(10, 150 * KIB);
		const read = await source.read(1000, 140 * KIB, into);
		expect(read.buffer).toBe(memory.buffer);
		expect(read.byteOffset).toBe(10);
		same(read, bytes.subarray(1000, 1000 + 140 * KIB));
		expect(memory[9]).toBe(9);
		expect(memory.subarray(10 + 140 * KIB).every((byte) => byte === 9)).toBe(
			true,
		);
	});

	test("hands out bytes that may be changed", async () => {
		const source = await open();
		(await source.read(0, 100)).fill(0);
		same(await source.read(0, 100), bytes.subarray(0, 100));
	});

	test.each([
		[bytes.length - 1, 2],
		[-1, 2],
		[0, -1],
		[0.5, 1],
		[0, Number.NaN],
		[2 ** 60, 1],
	])("rejects a read of %d, %d", async (offset, length) => {
		const source = await open();
		await expect(source.read(offset, length)).rejects.toThrow(SourceError);
	});

	test("rejects a destination that is too small", async () => {
		const source = await open();
		await expect(source.read(0, 11, new Uint8Array(10))).rejects.toThrow(
			"11 bytes do not fit into 10",
		);
	});
});

describe("a repository", () => {
	test("of named bytes has these files and no others", async () => {
		const repository = bytesRepository({ "a.json": new Uint8Array(2) }, "mine");
		expect(await repository.list()).toEqual(["a.json"]);
		expect((await repository.open("a.json"))?.size).toBe(2);
		expect(await repository.open("toString")).toBeUndefined();
	});

	test("of a chosen folder names its files relative to the folder", async () => {
		const file = (path: string) => {
			const file = new File([path], path.slice(path.lastIndexOf("/") + 1));
			return Object.defineProperty(file, "webkitRelativePath", { value: path });
		};
		const repository = filesRepository([
			file("nano/config.json"),
			file("nano/gguf/nano.gguf"),
		]);
		expect(repository.name).toBe("nano");
		expect(await repository.list()).toEqual(["config.json", "gguf/nano.gguf"]);
		expect((await repository.open("gguf/nano.gguf"))?.name).toBe(
			"gguf/nano.gguf",
		);
	});

	test("of chosen files names them by their own names", async () => {
		const repository = filesRepository([new File(["{}"], "config.json")]);
		expect(await repository.list()).toEqual(["config.json"]);
		expect(await repository.open("model.safetensors")).toBeUndefined();
	});

	test("over a URL opens what is there", async () => {
		server.files.set("nano v1/config.json", { bytes: bytes.subarray(0, 9) });
		for (const base of ["nano v1", "nano%20v1/"]) {
			const repository = urlRepository(server.url + base);
			expect(await repository.list()).toBeUndefined();
			expect((await repository.open("config.json"))?.size).toBe(9);
			expect(await repository.open("model.safetensors")).toBeUndefined();
			expect(await repository.open("../model.bin")).toBeUndefined();
		}
	});

	test("over a URL holds a checkpoint", async () => {
		const file = (name: string) => `split-0000${name}-of-00003.gguf`;
		for (const no of ["1", "2", "3"])
			server.files.set(`tiny/${file(no)}`, {
				bytes: fixture(`gguf/${file(no)}`),
			});
		const repository = urlRepository(`${server.url}tiny/`);
		const checkpoint = await openCheckpoint(repository, { file: file("1") });
		expect(checkpoint.tensors.size).toBe(5);
		await expect(openCheckpoint(repository)).rejects.toThrow(
			"say it with `file`",
		);
	});
});

describe("a URL", () => {
	test("costs one request for a small file and one for each read beyond the first", async () => {
		const source = await urlSource(`${server.url}model.bin`);
		await source.read(0, 1000);
		await source.read(100_000, 50_000);
		expect(server.log).toEqual([
			"model.bin bytes=0-65535",
			"model.bin bytes=100000-149999",
		]);
	});

	test("of an empty file is an empty source", async () => {
		server.files.set("empty", { bytes: new Uint8Array(0) });
		const source = await urlSource(`${server.url}empty`);
		expect(source.size).toBe(0);
	});

	test("is followed to where it was moved", async () => {
		server.answer = (request, response) => {
			if (request.url !== "/old") return false;
			response.writeHead(302, { location: "/model.bin" }).end();
			return true;
		};
		const source = await urlSource(`${server.url}old`);
		same(await source.read(80_000, 10), bytes.subarray(80_000, 80_010));
	});

	test("may hide its size from a page, and is then read whole", async () => {
		server.answer = (request, response) => {
			if (!request.headers.range) return false;
			response.writeHead(206).end(bytes.subarray(0, 64 * KIB));
			return true;
		};
		const source = await urlSource(`${server.url}model.bin`);
		same(await source.read(0, bytes.length), bytes);
	});

	test("sends the headers it is given, and user and password of the address", async () => {
		let seen: unknown;
		server.answer = (request) => {
			seen = request.headers.authorization;
			return false;
		};
		await urlSource(`${server.url}model.bin`, {
			headers: { authorization: "Bearer sesame" },
		});
		expect(seen).toBe("Bearer sesame");
		await urlSource(
			`${server.url.replace("//", "//ann:s%C3%A9same@")}model.bin`,
		);
		expect(seen).toBe(`Basic ${Buffer.from("ann:sésame").toString("base64")}`);
	});

	test("that is refused gives status and address, without its secrets", async () => {
		for (const status of [401, 403, 404, 410, 451]) {
			server.answer = (_, response) => {
				response.writeHead(status).end();
				return true;
			};
			const url = `${server.url.replace("//", "//ann:secret@")}model.bin?sig=secret#secret`;
			const headers = { authorization: "Bearer secret" };
			const error = await rejection(urlSource(url, { headers }));
			expect(error).toMatchObject({ status, url: `${server.url}model.bin` });
			expect(error.message).toContain(`answered ${status}`);
			expect(Object.values(error).join() + error.stack).not.toContain("secret");
		}
	});

	test.each(["model.bin", "ftp://ann:secret@host/x", "file:///etc/hosts"])(
		"that is not HTTP is refused: %s",
		async (url) => {
			const error = await rejection(urlSource(url));
			expect(error.message).not.toContain("secret");
		},
	);
});

describe("a URL whose server fails in passing", () => {
	test.each([429, 500, 502, 503, 504])(
		"is asked again after %d",
		async (status) => {
			let refusals = 2;
			server.answer = (_, response) => {
				if (refusals-- <= 0) return false;
				response.writeHead(status, { "retry-after": "0" }).end();
				return true;
			};
			const source = await urlSource(`${server.url}model.bin`);
			expect(source.size).toBe(bytes.length);
			expect(server.log).toHaveLength(3);
		},
	);

	test("is asked again when the server says, not before", async () => {
		let refused = 0;
		server.answer = (_, response) => {
			if (refused) return false;
			refused = performance.now();
			const date = new Date(Date.now() + 2000).toUTCString();
			response.writeHead(503, { "retry-after": date }).end();
			return true;
		};
		await urlSource(`${server.url}model.bin`);
		// HTTP dates have whole seconds.
		expect(performance.now() - refused).toBeGreaterThan(900);
	});

	test("is given up after some tries, or at once when the wait would be long", async () => {
		server.answer = (_, response) => {
			response.writeHead(429, { "retry-after": "0" }).end();
			return true;
		};
		const url = `${server.url}model.bin`;
		expect(await rejection(urlSource(url, { retries: 2 }))).toMatchObject({
			status: 429,
		});
		expect(server.log).toHaveLength(3);
		server.answer = (_, response) => {
			response.writeHead(429, { "retry-after": "3600" }).end();
			return true;
		};
		const error = await rejection(urlSource(url));
		expect(error.message).toContain("asks to wait 3600 s");
		expect(server.log).toHaveLength(4);
	});

	test("and drops the connection is read on", async () => {
		const source = await urlSource(`${server.url}model.bin`);
		let drops = 2;
		server.answer = (request, response) => {
			if (drops-- <= 0) return false;
			const [start, last] = /(\d+)-(\d+)/
				.exec(request.headers.range ?? "")!
				.slice(1)
				.map(Number);
			response.writeHead(206, {
				"content-range": `bytes ${start}-${last}/${bytes.length}`,
				"content-length": last! + 1 - start!,
			});
			response.write(bytes.subarray(start, start! + 5000), () => {
				response.destroy();
			});
			return true;
		};
		same(await source.read(70_000, 90_000), bytes.subarray(70_000, 160_000));
		expect(drops).toBeLessThan(0);
	});

	test("but sends a megabyte each time has no number of tries", async () => {
		const large = new Uint8Array(5 * 2 ** 20).map((_, i) => i >> 12);
		server.files.set("large.bin", { bytes: large });
		const url = `${server.url}large.bin`;
		const source = await urlSource(url, { retries: 0 });
		server.answer = (request, response) => {
			const start = Number(/(\d+)-/.exec(request.headers.range ?? "")?.[1]);
			response.writeHead(206, {
				"content-range": `bytes ${start}-${large.length - 1}/${large.length}`,
				"content-length": large.length - start,
			});
			const end = start + 1.5 * 2 ** 20;
			if (end >= large.length) response.end(large.subarray(start));
			else
				response.write(large.subarray(start, end), () =>
					setTimeout(() => response.destroy(), 20),
				);
			return true;
		};
		const target = new Uint8Array(large.length);
		same(await source.read(0, large.length, target), large);
		expect(server.log.length).toBeGreaterThan(3);
	});

	test("and falls silent counts as dropped", async () => {
		server.answer = () => true;
		const options = { idleMilliseconds: 50, retries: 1 };
		const error = await rejection(urlSource(`${server.url}model.bin`, options));
		expect(error.message).toContain("silent for 50 ms");
		expect(server.log).toHaveLength(2);
	});

	test("or does not exist is an error that says so", async () => {
		const { url } = server;
		await server.close();
		const error = await rejection(urlSource(`${url}x`, { retries: 0 }));
		expect(error).toMatchObject({ url: `${url}x`, status: undefined });
		expect(error.message).toContain("failed or was dropped");
	});
});

describe("a URL whose file changes between two reads is an error", () => {
	test.each([
		["its tag", { bytes, tag: '"two"' }],
		["its size", { bytes: bytes.subarray(1), tag: '"one"' }],
		["its size, to less than was asked for", { bytes: bytes.subarray(0, 9) }],
	])("%s", async (_, file) => {
		const source = await urlSource(`${server.url}model.bin`);
		server.files.set("model.bin", file);
		const error = await rejection(source.read(70_000, 10));
		expect(error.message).toContain("changed while it was read");
	});

	test("its server's mind about ranges", async () => {
		const source = await urlSource(`${server.url}model.bin`);
		server.ranges = false;
		const error = await rejection(source.read(70_000, 10));
		expect(error).toMatchObject({ status: 200 });
	});

	test.each(["bytes 70001-70010/307200", "bytes 0-9/307200"])(
		"its idea of the range: %s",
		async (range) => {
			const source = await urlSource(`${server.url}model.bin`);
			server.answer = (_, response) => {
				response.writeHead(206, { "content-range": range, etag: '"one"' });
				response.end(bytes.subarray(0, 10));
				return true;
			};
			const error = await rejection(source.read(70_000, 10));
			expect(error.message).toContain("another range");
		},
	);

	test("or that answers with more than was asked for", async () => {
		const source = await urlSource(`${server.url}model.bin`);
		server.answer = (_, response) => {
			response.writeHead(206, {
				etag: '"one"',
				"content-range": `bytes 70000-70009/${bytes.length}`,
			});
			response.end(bytes.subarray(0, 5000));
			return true;
		};
		await rejection(source.read(70_000, 10));
	});
});

describe("a signal", () => {
	test("ends reading with its reason", async () => {
		const control = new AbortController();
		const { signal } = control;
		const source = await urlSource(`${server.url}model.bin`, { signal });
		server.answer = () => true;
		const reading = source.read(70_000, 10);
		setTimeout(() => control.abort(new Error("enough")), 20);
		await expect(reading).rejects.toThrow("enough");
		await expect(source.read(70_000, 10)).rejects.toThrow("enough");
	});

	test("ends a wait between tries", async () => {
		const control = new AbortController();
		server.answer = (_, response) => {
			response.writeHead(503, { "retry-after": "30" }).end();
			setTimeout(() => control.abort(), 20);
			return true;
		};
		const opening = urlSource(`${server.url}model.bin`, {
			signal: control.signal,
		});
		await expect(opening).rejects.toThrow(
			expect.objectContaining({ name: "AbortError" }),
		);
	});
});

function same(found: Uint8Array, expected: Uint8Array): void {
	expect(found.length).toBe(expected.length);
	expect(Buffer.compare(found, expected)).toBe(0);
}

async function rejection(promise: Promise<unknown>): Promise<SourceError> {
	const error = await promise.then(
		() => undefined,
		(error: unknown) => error,
	);
	expect(error).toBeInstanceOf(SourceError);
	return error as SourceError;
}
