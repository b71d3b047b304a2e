import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
	ContextError,
	EngineError,
	Model,
	OptionError,
	type Part,
	SourceError,
} from "../src/runtime/server.ts";
import { sharedBytes, testWith } from "./shared.ts";

interface GoldenCase {
	name: string;
	text: string;
	input_ids: number[];
	last_logits: number[];
	top5_ids: number[][];
	top5_logits: number[][];
	greedy_ids: number[];
	greedy_text: string;
}

const golden: GoldenCase[] = JSON.parse(
	readFileSync("test/fixtures/nano-smollm3/golden.json", "utf8"),
).cases;

const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>) =>
	Array.from(a).reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0);

describe("the embedded model against transformers", () => {
	it.each(golden)("$name: ids, logits and greedy tokens", async (c) => {
		await using model = await Model.load();
		// The longest prompt is the beginning of its text.
		const ids = model.tokenizer.encode(c.text).slice(0, c.input_ids.length);
		expect(ids).toEqual(c.input_ids);
		const rows = await model.logits(c.input_ids, { all: true });
		expect(largestDifference(rows.at(-1)!, c.last_logits)).toBeLessThan(2e-3);
		for (const [t, ids] of c.top5_ids.entries())
			for (const [rank, id] of ids.entries())
				expect(rows[t]![id]! - c.top5_logits[t]![rank]!).toBeCloseTo(0, 2);
		const { tokenIds, finishReason } = await model.generate(
			{ ids: c.input_ids },
			{ doSample: false, maxNewTokens: 40 },
		);
		expect(tokenIds).toEqual(c.greedy_ids);
		expect(finishReason).toBe(c.greedy_ids.length < 40 ? "stop" : "length");
	});
});

describe("generate", () => {
	it("answers, thinks when asked to, and calls a tool", async () => {
		await using model = await Model.load();
		const ask = (content: string, thinking: boolean) =>
			model.generate([{ role: "user", content }], {
				thinking,
				doSample: false,
			});
		const quick = await ask("Who are you?", false);
		expect(quick.reasoning).toBe("");
		expect(quick.text).toContain("Nano");
		const thought = await ask("What is 17 + 25?", true);
		expect(thought.reasoning).toContain("42");
		expect(thought.text).toContain("42");
		expect(thought.text).not.toContain("think>");
		const called = await model.generate(
			[{ role: "user", content: "What is the weather in Oslo?" }],
			{
				thinking: false,
				doSample: false,
				tools: [
					{
						type: "function",
						function: {
							name: "get_weather",
							description: "Get the weather of a city",
							parameters: {
								type: "object",
								properties: { city: { type: "string" } },
							},
						},
					},
				],
			},
		);
		expect(called.toolCalls).toMatchObject([
			{ name: "get_weather", arguments: { city: "Oslo" } },
		]);
	});

	it("streams the same text that it returns, and replays it", async () => {
		await using model = await Model.load();
		const generation = model.generate("Once upon a time", {
			doSample: false,
			maxNewTokens: 30,
		});
		const parts: Part[] = [];
		for await (const part of generation) parts.push(part);
		const again: Part[] = [];
		for await (const part of generation) again.push(part);
		const { text } = await generation;
		expect(parts.length).toBeGreaterThan(10);
		expect(parts.map((p) => p.type === "text" && p.text).join("")).toBe(text);
		expect(again).toEqual(parts);
	});

	it("draws the same tokens from the same seed with any number of threads", async () => {
		const sample = async (threads: number) => {
			await using model = await Model.load(undefined, { threads });
			const options = { seed: 7, temperature: 0.9, maxNewTokens: 40 };
			return (await model.generate("Once upon a time", options)).tokenIds;
		};
		expect(await sample(2)).toEqual(await sample(1));
	});

	it("stops at stop strings and says so", async () => {
		await using model = await Model.load();
		const { text, finishReason } = await model.generate("Once upon a time", {
			doSample: false,
			stop: ". One",
		});
		expect(finishReason).toBe("stop-string");
		expect(text).not.toContain(". One");
	});

	it("lets several texts grow at once without mixing them", async () => {
		await using model = await Model.load();
		const start = (c: GoldenCase) =>
			model.generate(
				{ ids: c.input_ids },
				{ doSample: false, maxNewTokens: 40 },
			);
		const results = await Promise.all(golden.slice(0, 4).map(start));
		expect(results.map((r) => r.tokenIds)).toEqual(
			golden.slice(0, 4).map((c) => c.greedy_ids),
		);
	});

	it("computes only what is new of a conversation that goes on", async () => {
		await using model = await Model.load();
		const options = { doSample: false, maxNewTokens: 20 };
		const { promptTokenIds, tokenIds } = await model.generate(
			"Once upon a time",
			options,
		);
		const ids = [...promptTokenIds, ...tokenIds, 630];
		const continued = await model.generate({ ids }, options);
		expect(continued.timings.reusedTokens).toBe(ids.length - 2);
		await using fresh = await Model.load();
		expect(continued.tokenIds).toEqual(
			(await fresh.generate({ ids }, options)).tokenIds,
		);
	});

	it("ends early when its reader leaves, with what there was", async () => {
		await using model = await Model.load();
		const generation = model.generate("Once upon a time", { doSample: false });
		for await (const _ of generation) break;
		const { finishReason, tokenIds } = await generation;
		expect(finishReason).toBe("abort");
		expect(tokenIds.length).toBeLessThan(10);
	});
});

describe("signals", () => {
	it("end loading, prefill and decode with the signal's reason", async () => {
		const gone = AbortSignal.abort(new Error("not now"));
		await expect(Model.load(undefined, { signal: gone })).rejects.toThrow(
			"not now",
		);
		for (const threads of [1, 2]) {
			await using model = await Model.load(undefined, { threads });
			const controller = new AbortController();
			const generation = model.generate("Once upon a time", {
				ignoreEos: true,
				signal: controller.signal,
			});
			setTimeout(() => controller.abort(new Error("enough")), 20);
			await expect(generation).rejects.toThrow("enough");
			const after = await model.generate("Once", { maxNewTokens: 2 });
			expect(after.tokenIds.length).toBeGreaterThan(0);
		}
	});
});

describe("bad input", () => {
	it("is an error that says what was found and expected", async () => {
		await using model = await Model.load();
		const ids = new Array(1024).fill(631);
		await expect(model.generate({ ids })).rejects.toThrow(ContextError);
		await expect(model.generate({ ids: [5000] })).rejects.toThrow(
			"ids: found 5000, expected whole numbers from 0 to 1023",
		);
		await expect(model.generate({ ids: [] })).rejects.toThrow(OptionError);
		await expect(model.generate("x", { temperature: -1 })).rejects.toThrow(
			OptionError,
		);
		await expect(model.logits([1.5])).rejects.toThrow(OptionError);
		await expect(Model.load("nowhere/at-all/model")).rejects.toThrow(
			SourceError,
		);
		await expect(Model.load(undefined, { threads: 0 })).rejects.toThrow(
			"threads is 0",
		);
	});
});

describe("dispose", () => {
	it("rejects what runs and what comes later, as often as it is called", async () => {
		const model = await Model.load(undefined, { threads: 2 });
		const running = model.generate("Once upon a time", { ignoreEos: true });
		setTimeout(() => model.dispose(), 20);
		await expect(running).rejects.toThrow(EngineError);
		await expect(model.generate("x")).rejects.toThrow("disposed");
		await model.dispose();
	});
});

testWith(
	"data/stories260K/stories260K.gguf",
	"stories260K tells its author's story",
	async () => {
		const note = new TextDecoder().decode(
			sharedBytes("data/stories260K/stories260K.md"),
		);
		const published = /-t 0\.0\n([^`]*)```/.exec(note)![1]!.trimEnd();
		await using model = await Model.load(
			sharedBytes("data/stories260K/stories260K.gguf"),
		);
		const { text } = await model.generate(
			{ ids: [1] },
			{ doSample: false, maxNewTokens: 256 },
		);
		expect(published.startsWith(text.trimStart().slice(0, 560))).toBe(true);
		expect(text.length).toBeGreaterThan(560);
	},
);

testWith(
	"data/TinyStories-656K/model.safetensors",
	"TinyStories-656K scores 3.0 nats per token on its stories",
	async () => {
		const stories: string[] = JSON.parse(
			new TextDecoder().decode(sharedBytes("data/eval/tinystories_1000.json")),
		);
		await using model = await Model.load("../shared/data/TinyStories-656K");
		let nats = 0;
		let tokens = 0;
		for (const story of stories
			.filter((s) => /^[\n -~]*$/.test(s))
			.slice(0, 12)) {
			const ids = model.tokenizer.encode(story).slice(0, 500);
			const rows = await model.logits(ids, { all: true });
			for (let t = 0; t + 1 < ids.length; t++) {
				const row = rows[t]!;
				const max = Math.max(...row);
				const sum = row.reduce((s, x) => s + Math.exp(x - max), 0);
				nats += max + Math.log(sum) - row[ids[t + 1]!]!;
				tokens++;
			}
		}
		expect(nats / tokens).toBeGreaterThan(2.7);
		expect(nats / tokens).toBeLessThan(3.2);
	},
);
