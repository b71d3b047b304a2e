import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	createPartSplitter,
	type Part,
	type PartSplitterOptions,
} from "../src/text/parts.ts";
import { chunks } from "./chunks.ts";
import { nanoGemma3, nanoSmollm3 } from "./nano-tokenizers.ts";

const smollm3 = nanoSmollm3();

/** Joins neighbours of one type, which streaming leaves apart. */
function joined(parts: readonly Part[]): Part[] {
	const all: Part[] = [];
	for (const part of parts) {
		const last = all.at(-1);
		if (part.type !== "tool-call" && last?.type === part.type) {
			all[all.length - 1] = { ...part, text: last.text + part.text };
		} else all.push(part);
	}
	return all;
}

function split(
	text: string,
	options: PartSplitterOptions = {},
	lengths: Iterable<number> = [text.length],
	tokenizer = smollm3,
): Part[] {
	const splitter = createPartSplitter(tokenizer, options);
	const parts: Part[] = [];
	for (const piece of chunks(text, lengths))
		parts.push(...splitter.push(piece));
	return joined([...parts, ...splitter.flush()]);
}

const text = (text: string) => ({ type: "text", text });
const reasoning = (text: string) => ({ type: "reasoning", text });

describe("parts", () => {
	test("of an answer with thoughts", () => {
		expect(split("<think>\nLet me see.\n</think>\n\nYes. ")).toEqual([
			reasoning("Let me see."),
			text("Yes. "),
		]);
		expect(split("<think>\n\n</think>\nYes.")).toEqual([text("Yes.")]);
		expect(split("Well <think>a<think>b</think>")).toEqual([
			text("Well"),
			reasoning("a<think>b"),
		]);
	});

	test("of thoughts that the prompt has begun", () => {
		const promptIds = smollm3.encode("<|im_start|>assistant\n<think>\n");
		expect(split("Hm.</think>Yes.", { promptIds })).toEqual([
			reasoning("Hm."),
			text("Yes."),
		]);
		const closed = smollm3.encode("<think>\n\n</think>\n");
		expect(split("Yes.", { promptIds: closed })).toEqual([text("Yes.")]);
		const asked = smollm3.encode("What does <think> mean?");
		expect(split("Yes.", { promptIds: asked })).toEqual([text("Yes.")]);
	});

	test("of an answer that ends early", () => {
		expect(split("<think>Hm, so")).toEqual([reasoning("Hm, so")]);
		expect(split("Yes <thi")).toEqual([text("Yes <thi")]);
		expect(split("<think>")).toEqual([]);
		expect(split("")).toEqual([]);
	});

	test("of tool calls", () => {
		const first =
			'<tool_call>\n{"name": "f", "arguments": {"x": [1, "}"]}}\n</tool_call>';
		const second = '<tool_call>{"name": "g"}</tool_call>';
		expect(split(`Calling.\n${first}\n${second} done`)).toEqual([
			text("Calling."),
			{
				type: "tool-call",
				name: "f",
				arguments: { x: [1, "}"] },
				raw: first,
			},
			{ type: "tool-call", name: "g", arguments: {}, raw: second },
			text("done"),
		]);
	});

	test("of other spellings of tool calls", () => {
		const call = (body: string) => split(`<tool_call>${body}</tool_call>`);
		const f = { type: "tool-call", name: "f", arguments: { x: 1 } };
		for (const body of [
			'{"name": "f", "arguments": "{\\"x\\": 1}"}',
			'{"name": "f", "parameters": {"x": 1}}',
			'{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}',
		]) {
			expect(call(body)).toMatchObject([f]);
		}
		expect(
			call('[{"name": "f", "arguments": {"x": 1}}, {"name": "g"}]'),
		).toMatchObject([f, { name: "g" }]);
		// The model stopped before the closing marker.
		expect(split('<tool_call>{"name": "f"}')).toMatchObject([{ name: "f" }]);
	});

	test("of malformed tool calls are text, as they were written", () => {
		for (const body of [
			"{",
			"",
			"null",
			"[]",
			'"f"',
			'{"name": 1}',
			'{"name": ""}',
			'{"name": "f", "arguments": [1]}',
			'{"name": "f", "arguments": "x"}',
			'[{"name": "f"}, 1]',
		]) {
			const raw = ` \n<tool_call>${body}</tool_call> y`;
			expect(split(`x${raw}`)).toEqual([text(`x${raw}`)]);
		}
		expect(split('x <tool_call>{"name')).toEqual([text('x <tool_call>{"name')]);
	});

	test("of Python code, where the model was told to write some", () => {
		const raw = "<code>\nprint(1)\n\n</code>";
		expect(split(`So:\n${raw}`, { python: true })).toEqual([
			text("So:"),
			{
				type: "tool-call",
				name: "python",
				language: "python",
				arguments: { code: "print(1)" },
				raw,
			},
		]);
		expect(split(raw)).toEqual([text(raw)]);
	});

	test("of a model without markers are text", () => {
		const answer = "<think>x</think> <tool_call>{}</tool_call>";
		const gemma = nanoGemma3();
		expect(split(answer, {}, [100], gemma)).toEqual([text(answer)]);
		expect(split(answer, { plain: true })).toEqual([text(answer)]);
	});

	test("of a model whose prompt explains the markers", () => {
		const gemma = nanoGemma3();
		const promptIds = gemma.encode("Write <tool_call>{...}</tool_call>.");
		const answer = '<tool_call>{"name": "f"}</tool_call><think>';
		expect(split(answer, { promptIds }, [100], gemma)).toMatchObject([
			{ name: "f" },
			text("<think>"),
		]);
	});

	test("take markers by other names", () => {
		const markers = {
			reasoning: ["<tool_response>", "</tool_response>"],
		} as const;
		const { markerIds } = createPartSplitter(smollm3, { markers });
		expect([...markerIds]).toEqual([1005, 1006]);
		expect(
			split("<think><tool_response>a</tool_response>", { markers }),
		).toEqual([text("<think>"), reasoning("a")]);
	});

	test("name the tokens of their markers", () => {
		expect([...createPartSplitter(smollm3).markerIds]).toEqual([
			994, 995, 1007, 1008,
		]);
	});

	test("are the same however the answer is cut", () => {
		const piece = fc.constantFrom(
			"<think>",
			"</think>",
			"<tool_call>",
			"</tool_call>",
			"<code>",
			"</code>",
			'{"name": "f"}',
			"<",
			"<th",
			"</",
			" ",
			"\n",
			"text",
			"😀",
		);
		fc.assert(
			fc.property(
				fc.array(piece, { maxLength: 14 }),
				fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
				fc.boolean(),
				(pieces, lengths, begun) => {
					const answer = pieces.join("");
					const options = {
						python: true,
						promptIds: begun ? smollm3.encode("<think>") : [],
					};
					const whole = split(answer, options);
					expect(split(answer, options, lengths)).toEqual(whole);
					expect(whole.every((part) => !("text" in part) || part.text)).toBe(
						true,
					);
				},
			),
			{ numRuns: 2000 },
		);
	});

	test("come as soon as they are certain", () => {
		const splitter = createPartSplitter(smollm3);
		expect(splitter.push("Hello")).toEqual([text("Hello")]);
		expect(splitter.push(" wor")).toEqual([text(" wor")]);
		expect(splitter.push("ld <")).toEqual([text("ld")]);
		expect(splitter.push("b>")).toEqual([text(" <b>")]);
		expect(splitter.push("<think>so")).toEqual([reasoning("so")]);
	});
});
