import { openAsBlob, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
	EngineError,
	loadTokenizer,
	Model,
	OptionError,
	type Part,
	SourceError,
} from "../src/runtime/web.ts";

/** Node has no web workers: here the whole way through the channel is gone, to an engine on the same thread. */

const FOLDER = "models/nano-smollm3";
const golden = JSON.parse(
	readFileSync("test/fixtures/nano-smollm3/golden.json", "utf8"),
).cases[0];
const STORY = "Once upon a time";

const expectGolden = async (model: Model) => {
	const { tokenIds } = await model.generate(
		{ ids: golden.input_ids },
		{ doSample: false, maxNewTokens: 10 },
	);
	expect(tokenIds).toEqual(golden.greedy_ids.slice(0, 10));
};

const bytesOf = (name: string) =>
	new Uint8Array(readFileSync(`${FOLDER}/${name}`));

describe("sources", () => {
	test("the embedded model, with the page's own tokenizer", async () => {
		await using model = await Model.load();
		expect(model).toBeInstanceOf(Model);
		expect(model.info.architecture).toBe("SmolLM3ForCausalLM");
		expect(model.info.threads).toBe(1);
		expect(model.info.threadLimit).toMatch(
			/no thread of its own: .*no workers/,
		);
		expect(model.config.model_type).toBe("smollm3");
		expect(model.info).toMatchObject({ chats: true, sees: false });
		await expectGolden(model);
		const tokenizer = await loadTokenizer();
		const ids = model.tokenizer.encode(golden.text);
		expect(ids).toEqual(tokenizer.encode(golden.text));
		expect(model.tokenizer.decode(ids)).toBe(golden.text);
		const messages = [{ role: "user", content: "hi" }] as const;
		expect(model.chatTemplate.render(messages)).toContain("hi");
	});

	test("an object that opens files", async () => {
		const reads: string[] = [];
		await using model = await Model.load({
			name: "mine",
			list: async () => readdirSync(FOLDER),
			async open(file) {
				const bytes = readdirSync(FOLDER).includes(file) && bytesOf(file);
				return bytes
					? {
							name: file,
							size: bytes.length,
							async read(offset, length, into = new Uint8Array(length)) {
								reads.push(file);
								into.set(bytes.subarray(offset, offset + length));
								return into.subarray(0, length);
							},
						}
					: undefined;
			},
		});
		expect(reads).toContain("model.safetensors");
		expect(model.info.name).toBe("mine");
		await expectGolden(model);
	});

	test("files of a folder that was chosen", async () => {
		const files = await Promise.all(
			readdirSync(FOLDER).map(async (name) => {
				const file = new File([await openAsBlob(`${FOLDER}/${name}`)], name);
				Object.defineProperty(file, "webkitRelativePath", {
					value: `chosen/${name}`,
				});
				return file;
			}),
		);
		await using model = await Model.load(files);
		await expectGolden(model);
	});

	test("what is wrong with them", async () => {
		await expect(Model.load("no/such/file.gguf")).rejects.toThrow(SourceError);
		await expect(Model.load(undefined, { threads: 0 })).rejects.toThrow(
			OptionError,
		);
		const failing = Model.load({
			name: "mine",
			size: 100,
			read: () => Promise.reject(new SourceError("worn out", { status: 7 })),
		});
		await expect(failing).rejects.toMatchObject({
			name: "SourceError",
			status: 7,
		});
	});

	test("that are only asked what is in them", async () => {
		const files = readdirSync(FOLDER).map(
			(name) => new File([bytesOf(name)], name),
		);
		for (const source of [undefined, files]) {
			const { architecture, tensors } = await Model.inspect(source);
			expect(architecture).toBe("SmolLM3ForCausalLM");
			expect(tensors.length).toBeGreaterThan(30);
			const estimate = await Model.estimate(source, { contextTokens: 100 });
			expect(estimate.contextTokens).toBe(100);
			expect(estimate.weightBytes).toBeGreaterThan(5_000_000);
		}
		const signal = AbortSignal.abort(new Error("enough"));
		await expect(Model.inspect(undefined, { signal })).rejects.toThrow(
			"enough",
		);
		await expect(Model.estimate("no/such/file.gguf")).rejects.toThrow(
			SourceError,
		);
	});
});

describe("a model", () => {
	test("streams parts, and stops when its reader leaves", async () => {
		await using model = await Model.load();
		const parts: Part[] = [];
		const generation = model.generate(STORY, { maxNewTokens: 20 });
		for await (const part of generation) parts.push(part);
		const { text, timings } = await generation;
		expect(parts.length).toBeGreaterThan(10);
		expect(parts.map((p) => p.type === "text" && p.text).join("")).toBe(text);
		expect(timings.decodeMs).toBeGreaterThan(0);

		const endless = model.generate(STORY, { ignoreEos: true });
		for await (const _ of endless) break;
		const { finishReason, tokenIds } = await endless;
		expect(finishReason).toBe("abort");
		expect(tokenIds.length).toBeLessThan(100);
	});

	test("gives logits away, and waits for functions of the page", async () => {
		await using model = await Model.load();
		const rows = await model.logits(golden.input_ids, { all: true });
		expect(rows.length).toBe(golden.input_ids.length);
		expect(rows[0]!.length).toBe(model.info.vocabularySize);

		const seen: number[] = [];
		const { tokenIds } = await model.generate(STORY, {
			maxNewTokens: 5,
			allowedTokens: (ids) => new Set([700 + (ids.length % 2), 800]),
			logitsProcessors: [
				(scores, ids) => {
					seen.push(ids.length);
					scores[800] = Number.NEGATIVE_INFINITY;
				},
			],
		});
		expect(seen.length).toBe(5);
		for (const [i, id] of tokenIds.entries())
			expect(id).toBe(700 + ((seen[0]! + i) % 2));
		const error = new Error("by the page");
		const failing = model.generate(STORY, {
			logitsProcessors: [
				() => {
					throw error;
				},
			],
		});
		await expect(failing).rejects.toBe(error);
		await expect(
			model.generate(STORY, { logitsProcessors: [1 as never] }),
		).rejects.toThrow(OptionError);
	});

	test("stops with the signal's reason, and ends for good", async () => {
		const reason = new Error("enough");
		const controller = new AbortController();
		const { signal } = controller;
		await expect(
			Model.load(undefined, {
				signal,
				onProgress: () => controller.abort(reason),
			}),
		).rejects.toBe(reason);
		await expect(Model.load(undefined, { signal })).rejects.toBe(reason);

		const model = await Model.load();
		const running = model.generate(STORY, { ignoreEos: true });
		await expect(
			(async () => {
				for await (const _ of running) await model.dispose();
			})(),
		).rejects.toThrow(EngineError);
		await expect(model.generate(STORY)).rejects.toThrow(/was disposed/);
		await model.dispose();
	});
});
