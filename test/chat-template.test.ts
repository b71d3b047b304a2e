import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { OptionError, UnsupportedError } from "../src/errors.ts";
import { createChatTemplate, type Message } from "../src/text/chat-template.ts";
import { createTokenizerFrom } from "../src/text/open.ts";
import { fixtureJson } from "./fixture.ts";
import { missingShared, sharedJson, sharedText } from "./shared.ts";

/** Made by test/fixtures/text/make.py with Jinja2, set up as transformers does. */
const reference = fixtureJson("text/templates.json");

/** Entries of a reference chat, by the template's names. */
interface ReferenceChat {
	messages: Message[];
	[variable: string]: unknown;
}

function sourceOf(path: string): string {
	const url = new URL(`../${path}`, import.meta.url);
	if (existsSync(url)) return readFileSync(url, "utf8");
	const shared = `data/${path}`;
	if (path.endsWith("templates.json")) {
		return sharedJson(shared).custom["MadeAgents/Hammer2.1"].chat_template;
	}
	return path.endsWith(".json")
		? sharedJson(shared).chat_template
		: sharedText(shared);
}

describe("as Jinja2 renders it", () => {
	for (const [name, path] of Object.entries<string>(reference.templates)) {
		const own = name.startsWith("nano");
		const reason = own ? "" : missingShared(`data/${path}`);
		test.skipIf(reason !== "")(name, () => {
			const template = createChatTemplate(sourceOf(path), {
				specialTokens: () => reference.special,
			});
			let rendered = 0;
			for (const [key, expected] of Object.entries(reference.prompts)) {
				const [which, chat = "", begin] = key.split("|");
				if (which !== name) continue;
				const { messages, ...variables } = reference.chats[
					chat
				] as ReferenceChat;
				const render = () =>
					template.render(messages, {
						addGenerationPrompt: begin === "True",
						date: new Date(2025, 2, 7, 9, 5, 1),
						templateVariables: variables,
					});
				const { sha256, refused } = expected as Record<string, string>;
				if (refused !== undefined) {
					expect(render, key).toThrow(OptionError);
					expect(render, key).toThrow(refused);
				} else if (sha256 !== undefined) {
					const hash = createHash("sha256").update(render()).digest("hex");
					expect(hash, `${key}: ${render()}`).toBe(sha256);
				} else expect(render(), key).toBe(expected);
				rendered++;
			}
			expect(rendered).toBeGreaterThan(10);
		});
	}
});

describe("huggingface.js' templates", () => {
	/** Targets that are not what Jinja2 makes of the template. */
	const knownDivergences: Record<string, string> = {
		"MadeAgents/Hammer2.1":
			"its target has a list turned into text as JSON, as @huggingface/jinja does; Jinja2 writes Python's repr, checked above",
	};
	const path = "data/expected/jinja.templates.json";
	const reason = missingShared(path);
	const groups = reason === "" ? sharedJson(path) : { none: { none: {} } };
	for (const [group, cases] of Object.entries(groups)) {
		for (const [name, given] of Object.entries(cases as object)) {
			test.skipIf(reason !== "")(`${group}: ${name}`, () => {
				const { messages, ...variables } = given.data;
				const template = createChatTemplate(given.chat_template, {
					images: true,
				});
				const text = template.render(messages, {
					date: new Date(2025, 6, 10),
					// transformers always defines it, these cases do not.
					templateVariables: { add_generation_prompt: undefined, ...variables },
				});
				if (name in knownDivergences) expect(text).not.toBe(given.target);
				else expect(text).toBe(given.target);
			});
		}
	}
});

describe("a chat template", () => {
	const lines = createChatTemplate(
		"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
	);

	test("gets the texts of content parts", () => {
		const content = [
			{ type: "text", text: "one" },
			{ type: "text", text: "two" },
		] as const;
		expect(lines.render([{ role: "user", content }])).toBe("user: one\ntwo\n");
	});

	test("refuses images for a model that reads text only, and says where", () => {
		const render = (part: unknown) => () =>
			lines.render([
				{ role: "system", content: "x" },
				{ role: "user", content: [{ type: "text", text: "x" }, part] as never },
			]);
		const url = { url: "data:image/png;base64,AA" };
		for (const part of [
			{ type: "image", image: "x.png" },
			{ type: "image_url", image_url: url },
		]) {
			expect(render(part)).toThrow(UnsupportedError);
			expect(render(part)).toThrow(
				`messages[1].content[1]: found a part of type "${part.type}"`,
			);
		}
		expect(render({ type: "audio" })).toThrow(OptionError);
		expect(render({ type: "text" })).toThrow(OptionError);
		expect(render(null)).toThrow(OptionError);
	});

	test("keeps the parts for a model that sees images", () => {
		const template = createChatTemplate(
			"{% for p in messages[0].content %}[{{ p.type }}{{ p.text }}]{% endfor %}",
			{ images: true },
		);
		const content = [
			{ type: "image_url", image_url: "https://example.org/a.png" },
			{ type: "image" },
			{ type: "text", text: "?" },
		] as const;
		expect(template.render([{ role: "user", content }])).toBe(
			"[image][image][text?]",
		);
	});

	test("refuses what is no conversation", () => {
		const render = (messages: unknown) => () => lines.render(messages as never);
		for (const wrong of [undefined, "hi", [], [null], [{ content: "x" }]]) {
			expect(render(wrong)).toThrow(OptionError);
		}
		expect(render([{ role: "user", content: 1 }])).toThrow(
			"messages[0].content: found number, expected a string or a list of parts",
		);
	});

	test("gets arguments of tool calls in the form it can use", () => {
		const call = (args: unknown): Message[] => [
			{
				role: "assistant",
				tool_calls: [{ function: { name: "f", arguments: args as string } }],
			},
		];
		const render = (source: string, args: unknown) =>
			createChatTemplate(
				`{% for m in messages %}{% for c in m.tool_calls or [] %}${source}{% endfor %}{% endfor %}`,
			).render(call(args));
		const json = "{{ c.function.arguments | tojson }}";
		expect(render(json, { x: 1 })).toBe('{"x": 1}');
		expect(render(json, '{"x":1}')).toBe('{"x": 1}');
		expect(render(json, "no JSON")).toBe('"no JSON"');
		const items =
			"{% for k, v in c.function.arguments.items() %}{{ k }}{% endfor %}";
		expect(render(items, '{"x":1}')).toBe("x");
		// As the template would write it itself.
		expect(render("{{ 'with ' + c.function.arguments }}", '{"x":1}')).toBe(
			'with {"x":1}',
		);
	});

	test("is chosen by name, by tools, or is the default", () => {
		const template = createChatTemplate({
			default: "plain",
			tool_use: "tools",
			rag: "rag",
		});
		const chat: Message[] = [{ role: "user", content: "x" }];
		const tools = [{ type: "function", function: { name: "f" } }] as const;
		expect(template.render(chat)).toBe("plain");
		expect(template.render(chat, { tools: [] })).toBe("plain");
		expect(template.render(chat, { tools })).toBe("tools");
		expect(template.render(chat, { tools, templateName: "rag" })).toBe("rag");
		expect(() => template.render(chat, { templateName: "toString" })).toThrow(
			'there is no template named "toString", expected one of default, tool_use, rag',
		);
	});

	test("knows variables by transformers' names, and any others", () => {
		const template = createChatTemplate(
			"{{ bos_token }}{{ enable_thinking }}{{ documents[0].title }}{{ range }}{{ tools is none }}{{ eos_token is defined }}",
			{ specialTokens: () => ({ bos_token: "<s>" }) },
		);
		const text = template.render([{ role: "user", content: "" }], {
			thinking: false,
			documents: [{ title: "T" }],
			templateVariables: { range: "r", true: "t" },
		});
		expect(text).toBe("<s>falseTrtruefalse");
	});

	test("writes dates in English", () => {
		const template = createChatTemplate(
			"{{ strftime_now('%A %a %d %-d %e %B %b %m %y %Y %H:%I:%M:%S %p %j %% %Q') }}",
		);
		const date = new Date(2024, 2, 3, 4, 5, 6);
		expect(template.render([{ role: "user" }], { date })).toBe(
			"Sunday Sun 03 3  3 March Mar 03 24 2024 04:04:05:06 AM 063 % %Q",
		);
	});

	test("turns values into text as Python does", () => {
		const write = (source: string, x?: unknown) =>
			createChatTemplate(source).render([{ role: "user" }], {
				templateVariables: { x },
			});
		expect(write("{{ [1, 1.0, true, none, 'a', (1, 2)] | string }}")).toBe(
			"[1, 1.0, True, None, 'a', (1, 2)]",
		);
		expect(write("{{ 'a' ~ none ~ 2.50 ~ x ~ {'b': \"it's\"} }}")).toBe(
			"aNone2.5{'b': \"it's\"}",
		);
		expect(write("{{ x | string }}", [1e-7, 0.001, -0.5, 1e22, 1.5e-5])).toBe(
			"[1e-07, 0.001, -0.5, 10000000000000000000000, 1.5e-05]",
		);
		expect(write("{{ x | string }}", ["\n\\\u{7}\u{ad}\u{e0001}é", `'"`])).toBe(
			`['\\n\\\\\\x07\\xad\\U000e0001é', '\\'"']`,
		);
	});

	test("fails with a reason", () => {
		const chat: Message[] = [{ role: "user", content: "x" }];
		const render = (source: string) => () =>
			createChatTemplate(source, { where: "x.gguf" }).render(chat);
		expect(render("{% if %}")).toThrow(UnsupportedError);
		expect(render("{% if %}")).toThrow(/x\.gguf: the chat template cannot/);
		expect(render("{{ 1 | frobnicate }}")).toThrow(UnsupportedError);
		expect(render("{{ range(10000000000) }}")).toThrow(/is too long/);
		expect(render("{{ raise_exception('no') }}")).toThrow(OptionError);
		expect(render("{{ raise_exception('no') }}")).toThrow(/messages: no$/);
	});

	test("leaves the last message open to be continued", () => {
		const chat: Message[] = [
			{ role: "user", content: "x" },
			{ role: "assistant", content: "The answer is " },
		];
		const options = { continueFinalMessage: true };
		expect(lines.render(chat, options)).toBe(
			"user: x\nassistant: The answer is ",
		);
		const trimming = createChatTemplate(
			"{% for m in messages %}<{{ m.content | trim }}>{% endfor %}",
		);
		expect(trimming.render(chat, options)).toBe("<x><The answer is");
		expect(() =>
			lines.render(chat, { ...options, addGenerationPrompt: true }),
		).toThrow(OptionError);
	});
});

describe("a checkpoint's chat template", () => {
	const tokenizer = { model: { type: "BPE", vocab: { a: 0 }, merges: [] } };
	const chat: Message[] = [{ role: "user", content: "x" }];

	test("is chat_template.jinja before tokenizer_config.json", () => {
		const open = (chat_template: unknown, chatTemplate?: string) =>
			createTokenizerFrom({
				kind: "files",
				tokenizer,
				config: { chat_template, bos_token: "<s>" },
				chatTemplate,
			}).chatTemplate;
		expect(open(undefined)).toBeUndefined();
		expect(open("config{{ bos_token }}")?.render(chat)).toBe("config<s>");
		expect(open("config", "file")?.render(chat)).toBe("file");
		const list = [
			{ name: "default", template: "d" },
			{ name: "tool_use", template: "t" },
		];
		expect(open(list)?.templates).toEqual({ default: "d", tool_use: "t" });
		expect(open(list, "file")?.templates).toEqual({ default: "file" });
		expect(() => open([{ name: "x" }])).toThrow(/chat_template is a list/);
	});

	test("has named ones beside it, in files before the configuration's", () => {
		const { chatTemplate } = createTokenizerFrom({
			kind: "files",
			tokenizer,
			config: {
				chat_template: [
					{ name: "default", template: "d" },
					{ name: "tool_use", template: "t" },
				],
			},
			namedChatTemplates: { tool_use: "file", rag: "r" },
		});
		expect(chatTemplate?.templates).toEqual({
			default: "d",
			tool_use: "file",
			rag: "r",
		});
		const render = (options: object) => chatTemplate?.render(chat, options);
		expect(render({})).toBe("d");
		expect(render({ tools: [{ type: "function" }] })).toBe("file");
		expect(render({ templateName: "rag" })).toBe("r");
		expect(() => render({ templateName: "x" })).toThrow(
			'no template named "x", expected one of default, tool_use, rag',
		);
	});

	test("is found in GGUF metadata", () => {
		const { chatTemplate } = createTokenizerFrom({
			kind: "gguf",
			metadata: new Map<string, unknown>([
				["tokenizer.ggml.model", "llama"],
				["tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>"]],
				["tokenizer.ggml.scores", [0, 0, 0]],
				["tokenizer.chat_template", "{{ bos_token }}!"],
			]),
		});
		expect(chatTemplate?.render(chat)).toBe("<s>!");
	});
});
