import { spawn } from "node:child_process";
import {
	cpSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isBuilt, MAIN, nibble } from "./nibble.ts";

interface Golden {
	readonly name: string;
	readonly text: string;
	readonly input_ids: number[];
	readonly greedy_ids: number[];
	readonly greedy_text: string;
	readonly last_logits: number[];
	readonly top5_ids: number[][];
}
const golden: Record<string, Golden> = Object.fromEntries(
	JSON.parse(
		readFileSync("test/fixtures/nano-smollm3/golden.json", "utf8"),
	).cases.map((item: Golden) => [item.name, item]),
);
const story = golden.story!;

/** Runs a command that must succeed in silence, and reads the JSON it prints. */
async function json(args: readonly string[], input?: string) {
	const { code, out, err } = await nibble([...args, "--json"], input);
	expect({ code, err }).toEqual({ code: 0, err: "" });
	expect(out.endsWith("\n")).toBe(true);
	return JSON.parse(out);
}

function finiteNumbers(value: unknown): number[] {
	if (typeof value === "number") return [value];
	if (typeof value !== "object" || value === null) return [];
	return Object.values(value).flatMap(finiteNumbers);
}

describe.skipIf(!isBuilt)("nibble", () => {
	test("says its version and its commands", async () => {
		const { version } = JSON.parse(readFileSync("package.json", "utf8"));
		expect(await nibble(["--version"])).toEqual({
			code: 0,
			out: `${version}\n`,
			err: "",
		});
		const { out } = await nibble(["--help"]);
		for (const name of [
			"generate",
			"chat",
			"inspect",
			"logits",
			"tokenize",
			"bench",
			"demo",
		])
			expect(out).toContain(`  ${name} `);
		expect((await nibble(["help", "bench"])).out).toContain(
			"--prompt-tokens N",
		);
	});

	const failures: [string[], number, RegExp][] = [
		[
			["genrate"],
			2,
			/^nibble: unknown command genrate; did you mean generate\?\n$/,
		],
		[
			["generate", "--tempreture", "1"],
			2,
			/^nibble: unknown flag --tempreture; did you mean --temperature\?\n$/,
		],
		[
			["generate", "--prompt", "a", "--ids", "1"],
			2,
			/^nibble: found several prompts, .*\n$/,
		],
		[
			["generate", "--ids", "1", "--kernels", "fast"],
			2,
			/^nibble: --kernels is "fast", expected simd or relaxed\n$/,
		],
		[
			["generate", "--ids", "1", "--thinking"],
			2,
			/^nibble: a chat needs a text, found --ids\n$/,
		],
		[["logits"], 2, /^nibble: expected either --ids or --prompt\n$/],
		[
			["generate", "--prompt", "a", "--model", "no/such/model"],
			1,
			/^nibble: .*no\/such\/model.*\n$/,
		],
		[
			["generate", "--prompt", "a", "--top-p", "2"],
			1,
			/^nibble: topP is 2, expected a number from 0 to 1\n$/,
		],
		[["generate", "--ids", "5000"], 1, /^nibble: .*5000.*\n$/],
		[["inspect", "package.json"], 1, /^nibble: .*package\.json.*\n$/],
	];
	for (const [args, code, message] of failures)
		test(`${args.join(" ")} fails with one line`, async () => {
			const run = await nibble(args);
			expect(run).toMatchObject({ code, out: "" });
			expect(run.err).toMatch(message);
		});

	test("generate --json has the agreed keys and the reference's tokens", async () => {
		const record = await json([
			"generate",
			"--prompt",
			story.text,
			"--greedy",
			"--max-new-tokens",
			"40",
			"--threads",
			"2",
		]);
		expect(Object.keys(record)).toEqual([
			"text",
			"tokenIds",
			"promptTokenIds",
			"finishReason",
			"threads",
			"kernels",
			"loadMs",
			"prefillTokensPerSecond",
			"decodeTokensPerSecond",
			"peakMemoryBytes",
		]);
		expect(record).toMatchObject({
			text: story.greedy_text,
			tokenIds: story.greedy_ids,
			promptTokenIds: story.input_ids,
			finishReason: "length",
			threads: 2,
		});
		expect(["simd", "relaxed"]).toContain(record.kernels);
		expect(finiteNumbers(record).every(Number.isFinite)).toBe(true);
		expect(record.decodeTokensPerSecond).toBeGreaterThan(0);
		expect(record.peakMemoryBytes).toBeGreaterThan(10e6);
	});

	test("generate prints the text, from --ids, TEXT or stdin", async () => {
		const flags = ["--greedy", "--max-new-tokens", "40"];
		const expected = { code: 0, out: `${story.greedy_text}\n`, err: "" };
		const runs = await Promise.all([
			nibble(["generate", "--ids", story.input_ids.join(), ...flags]),
			nibble(["generate", story.text, ...flags]),
			nibble(["generate", ...flags], story.text),
		]);
		for (const run of runs) expect(run).toEqual(expected);
	});

	test("generate --chat answers, thinks on stderr, and calls tools", async () => {
		const sum = [
			"generate",
			"--chat",
			"--prompt",
			"What is 17 + 25?",
			"--greedy",
			"--max-new-tokens",
			"90",
		];
		const thought = await nibble([...sum, "--thinking"]);
		expect(thought.out).toBe("17 + 25 = 42.\n");
		expect(thought.err).toContain("7 + 5 = 12, write 2, carry 1.");
		const record = await json([...sum, "--thinking"]);
		expect(record.text).toBe("17 + 25 = 42.");
		expect(record.reasoning).toContain("write 2, carry 1.");
		expect(record.finishReason).toBe("stop");
	});

	test("--template makes it a chat, in the template of that name", async () => {
		const folder = mkdtempSync(join(tmpdir(), "nibble-template-"));
		try {
			cpSync("models/nano-smollm3", folder, { recursive: true });
			const named = join(folder, "additional_chat_templates");
			mkdirSync(named);
			writeFileSync(
				join(named, "plain.jinja"),
				"{% for m in messages %}{{ m.content }}{% endfor %}",
			);
			const args = ["generate", "--greedy", "--model", folder];
			const { promptTokenIds } = await json([
				...args,
				...["--max-new-tokens", "1", "--template", "plain", story.text],
			]);
			expect(promptTokenIds).toEqual(story.input_ids);
			const none = await nibble([...args, "--template", "none", "Hi"]);
			expect(none.code).toBe(1);
			expect(none.err).toContain(
				'there is no template named "none", expected one of default, plain',
			);
		} finally {
			rmSync(folder, { recursive: true });
		}
	});

	test("tools make it a chat", async () => {
		const weather = {
			type: "function",
			function: {
				name: "get_weather",
				description: "Get the weather of a city",
				parameters: {
					type: "object",
					properties: { city: { type: "string" } },
					required: ["city"],
				},
			},
		};
		const folder = mkdtempSync(join(tmpdir(), "nibble-"));
		const file = join(folder, "tools.json");
		writeFileSync(file, JSON.stringify([weather]));
		try {
			const record = await json([
				...["generate", "--prompt", "What is the weather in Oslo?"],
				...["--tools", file, "--no-thinking", "--greedy"],
			]);
			expect(record).toMatchObject({
				text: "",
				toolCalls: [{ name: "get_weather", arguments: { city: "Oslo" } }],
				finishReason: "stop",
			});
		} finally {
			rmSync(folder, { recursive: true });
		}
	});

	test("sampling repeats itself with a seed and reports a drawn one", async () => {
		const flags = [
			"generate",
			"--prompt",
			story.text,
			"--max-new-tokens",
			"12",
			"--temperature",
			"1.5",
		];
		const drawn = await json(flags);
		const again = await json([
			...flags,
			"--seed",
			String(drawn.seed),
			"--threads",
			"1",
		]);
		expect(again.tokenIds).toEqual(drawn.tokenIds);
	});

	test("--stop and --ignore-eos", async () => {
		const stopped = await json([
			"generate",
			"--prompt",
			story.text,
			"--greedy",
			"--stop",
			"woods",
			"--max-new-tokens",
			"40",
		]);
		expect(stopped.finishReason).toBe("stop-string");
		expect(story.greedy_text.startsWith(stopped.text)).toBe(true);
		const endless = await json([
			"generate",
			"--prompt",
			"Question:",
			"--greedy",
			"--ignore-eos",
			"--max-new-tokens",
			"150",
		]);
		expect(endless.tokenIds).toHaveLength(150);
	});

	test("logits --json equals the reference", async () => {
		const { logits } = await json(["logits", "--ids", story.input_ids.join()]);
		expect(logits).toHaveLength(1);
		const worst = Math.max(
			...story.last_logits.map((s, i) => Math.abs(s - logits[0][i])),
		);
		expect(worst).toBeLessThan(2e-3);
		const all = (
			await json(["logits", "--all", "--ids", story.input_ids.join()])
		).logits;
		expect(all.map((row: number[]) => row.indexOf(Math.max(...row)))).toEqual(
			story.top5_ids.map((ids) => ids[0]),
		);
	});

	test("logits lists the most probable tokens", async () => {
		const { out } = await nibble(["logits", "--prompt", story.text]);
		expect(out.split("\n")).toHaveLength(12);
		expect(out).toMatch(/^position 17\n\s+[\d.]+ %\s+[\d.]+\s+\d+ {2}" Her"\n/);
	});

	test("tokenize --json answers line by line", async () => {
		const texts = [story.text, "", "a\u2028b\n", "12,345 🙂"];
		const { code, out } = await nibble(
			["tokenize", "--model", "models/nano-smollm3", "--json", "--no-special"],
			texts.map((text) => `${JSON.stringify(text)}\n`).join(""),
		);
		expect(code).toBe(0);
		const lines = out
			.trimEnd()
			.split("\n")
			.map((line) => JSON.parse(line));
		expect(lines.map(({ text }) => text)).toEqual(texts);
		expect(lines[0].ids).toEqual(story.input_ids);
		expect(Object.keys(lines[0])).toEqual(["ids", "text"]);
		const wrong = await nibble(["tokenize", "--json"], '"a"\n{}\n');
		expect(wrong).toMatchObject({ code: 2 });
		expect(wrong.err).toBe(
			"nibble: stdin line 2 is {}, expected one JSON string per line\n",
		);
	});

	test("bench --json", async () => {
		const record = await json([
			"bench",
			"--prompt-tokens",
			"64",
			"--new-tokens",
			"8",
			"--repeat",
			"2",
		]);
		expect(record).toMatchObject({ promptTokens: 64, newTokens: 8, repeat: 2 });
		expect(record.runs).toHaveLength(2);
		expect(record.prefillTokensPerSecond).toBeGreaterThan(0);
		expect(record.decodeTokensPerSecond).toBeGreaterThan(0);
	});

	test("inspect", async () => {
		const record = await json(["inspect", "models/nano-smollm3"]);
		expect(record).toMatchObject({
			architecture: "SmolLM3ForCausalLM",
			container: "safetensors",
			parameters: 2_623_744,
		});
		const { out } = await nibble(["inspect", "--all"]);
		expect(out).toContain("model.embed_tokens.weight");
		expect(out).toContain("2.62 million");
	});

	test("chat keeps the conversation over piped lines", async () => {
		const { code, out } = await nibble(
			["chat", "--no-thinking", "--greedy"],
			"Who are you?\n/think\nWhat is 17 + 25?\n/reset\n/exit\nnever read\n",
		);
		expect(code).toBe(0);
		const [who, sum, ...rest] = out.trimEnd().split("\n");
		expect(who).toMatch(/^I am Nano/);
		expect(sum).toContain("42");
		expect(rest).toEqual([]);
	});

	test("an interrupt stops the answer, and the chat goes on", async () => {
		const child = spawn(process.execPath, [
			...[MAIN, "chat", "--no-thinking", "--greedy", "--threads", "1"],
			...["--ignore-eos", "--max-new-tokens", "900"],
		]);
		let out = "";
		let said = () => {};
		child.stdout.setEncoding("utf8").on("data", (text) => {
			out += text;
			said();
		});
		const hears = (text: string) =>
			new Promise<void>((resolve) => {
				said = () => out.includes(text) && resolve();
			});
		child.stdin.write("Who are you?\n");
		await hears("I am");
		child.kill("SIGINT");
		await hears("\n");
		const stopped = out.length;
		child.stdin.write("/reset\nWho are you?\n");
		await hears("Nano, a tiny language model.");
		child.kill("SIGINT");
		child.stdin.end();
		const code = await new Promise((resolve) => child.on("close", resolve));
		expect(code).toBe(0);
		expect(stopped).toBeLessThan(200);
	});

	test("demo shows a story, a chat, a thought and a tool call", async () => {
		const { code, out, err } = await nibble(["demo"]);
		expect({ code, err }).toEqual({ code: 0, err: "" });
		expect(out).toContain(story.greedy_text);
		expect(out).toContain("I am Nano, a tiny language model.");
		expect(out).toContain("17 + 25 = 42.");
		expect(out).toContain("write 2, carry 1.");
		expect(out).toContain('{"name":"get_weather","arguments":{"city":"Oslo"}}');
	});
});

describe.runIf(isBuilt)("generate --image", () => {
	const folder = "test/fixtures/nano-gemma3";
	const seeing = ["generate", "--model", folder, "--greedy"];

	test("asks about a picture", async () => {
		const bars = `${folder}/golden/pub_bars4.png`;
		const question = "Which bar is the smallest?";
		const run = await nibble([...seeing, "--image", bars, question]);
		expect(run).toMatchObject({ code: 0, out: "red\n" });
	});

	test("says what is wrong with it, or with the model", async () => {
		const missing = await nibble([...seeing, "--image", "no.png", "?"]);
		expect(missing.code).not.toBe(0);
		expect(missing.err).toContain("no.png: no such file");
		const config = `${folder}/config.json`;
		const text = await nibble([...seeing, "--image", config, "?"]);
		expect(text.err).toContain("neither PNG nor JPEG nor WebP");
		const blind = await nibble(["generate", "--image", "no.png", "?"]);
		expect(blind.err).toContain("this model reads text only");
	});
});
