import { describe, expect, it } from "vitest";
import {
	ContextError,
	ImageError,
	Model,
	OptionError,
	UnsupportedError,
} from "../src/runtime/server.ts";
import { decodePng } from "../src/vision/png.ts";
import {
	golden,
	goldenImage,
	inFloat32,
	largestDifference,
	nanoGemma3,
	renamedWeights,
} from "./nano-gemma3.ts";
import { testWith } from "./shared.ts";

const seen = golden.filter((c) => c.image !== undefined);
const picture = (i: number) => goldenImage(seen[i]!.image!);
const greedy = { doSample: false, maxNewTokens: 40 } as const;
const ask = (text: string, ...images: unknown[]) => [
	{
		role: "user" as const,
		content: [
			...images.map((image) => ({ type: "image" as const, image })),
			{ type: "text" as const, text },
		],
	},
];

describe("nano-gemma3 with images against transformers", () => {
	it.each(seen)("$name: ids, logits and greedy tokens", async (c) => {
		await using model = await Model.load(nanoGemma3());
		const images = [goldenImage(c.image!)];
		const [logits] = await model.logits(c.input_ids, { images });
		expect(largestDifference(logits!, c.last_logits)).toBeLessThan(3e-3);
		const answer = await model.generate(ask(c.question, images[0]), greedy);
		expect(answer.promptTokenIds).toEqual(c.input_ids);
		expect(answer.tokenIds).toEqual(c.greedy_ids);
		expect(answer.text).toBe(c.greedy_text);
	});

	it.each(seen)("$name: closer where nothing is rounded", async (c) => {
		await using model = await Model.load(nanoGemma3(inFloat32));
		const images = [goldenImage(c.image!)];
		const [logits] = await model.logits(c.input_ids, { images });
		expect(largestDifference(logits!, c.last_logits)).toBeLessThan(1e-4);
	});

	it("gives the same bits from any number of banks and threads, and never splits an image", async () => {
		const { input_ids } = seen[0]!;
		const logits = async (
			banks: number,
			threads: number,
			chunkTokens: number,
		) => {
			const options = { banks, threads, chunkTokens };
			await using model = await Model.load(nanoGemma3(), options);
			return (await model.logits(input_ids, { images: [picture(0)] }))[0];
		};
		const expected = await logits(1, 1, 128);
		for (const [banks, threads, chunk] of [
			[1, 1, 1],
			[2, 1, 17],
			[3, 2, 19],
			[4, 3, 30],
		] as const)
			expect(
				await logits(banks, threads, chunk),
				`${banks} banks, ${threads} threads, chunks of ${chunk}`,
			).toEqual(expected);
	});

	it("finds the tower by the names that any version of transformers gives it", async () => {
		const { input_ids } = seen[0]!;
		const images = [picture(0)];
		await using model = await Model.load(nanoGemma3());
		const expected = await model.logits(input_ids, { images });
		const renames: ((name: string) => string)[] = [
			(name) =>
				`model.${name.replace("language_model.model.", "language_model.")}`,
			(name) =>
				`model.${name.replace(/(language_model|vision_tower)\.\w+\./, "$1.")}`,
		];
		for (const rename of renames) {
			const weights = { "model.safetensors": renamedWeights(rename) };
			await using renamed = await Model.load(nanoGemma3((c) => c, weights));
			expect(await renamed.logits(input_ids, { images })).toEqual(expected);
		}
	});
});

describe("images in prompts", () => {
	it("come as parts, in OpenAI's shape, beside the messages, or beside a text with placeholders", async () => {
		await using model = await Model.load(nanoGemma3());
		const c = seen[0]!;
		const bytes = picture(0);
		const url = `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;
		const openai = (image_url: string | { url: string }) => [
			{
				role: "user" as const,
				content: [
					{ type: "image_url" as const, image_url },
					{ type: "text" as const, text: c.question },
				],
			},
		];
		const raw = decodePng(bytes, "picture");
		const ways = [
			model.generate(openai(url), greedy),
			model.generate(openai({ url }), greedy),
			model.generate(ask(c.question, undefined), { ...greedy, images: [raw] }),
			model.generate(
				ask(c.question, new Blob([Uint8Array.from(bytes)])),
				greedy,
			),
			model.generate(ask(c.question, bytes.buffer), greedy),
			model.generate(
				ask(c.question, `test/fixtures/nano-gemma3/golden/${c.image}`),
				greedy,
			),
			model.generate(
				`<start_of_turn>user\n<start_of_image>${c.question}<end_of_turn>\n<start_of_turn>model\n`,
				{ ...greedy, images: [url] },
			),
			model.generate({ ids: c.input_ids }, { ...greedy, images: [bytes] }),
		];
		for (const way of ways) {
			const { promptTokenIds, tokenIds } = await way;
			expect(promptTokenIds).toEqual(c.input_ids);
			expect(tokenIds).toEqual(c.greedy_ids);
		}
	});

	it("may be several, each seen where it stands", async () => {
		await using model = await Model.load(nanoGemma3());
		const both = await model.generate(
			ask("What colour is the diamond?", picture(0), picture(2)),
			greedy,
		);
		expect(both.promptTokenIds.filter((id) => id === 767)).toHaveLength(32);
		const swapped = await model.generate(
			ask("What colour is the diamond?", picture(2), picture(0)),
			greedy,
		);
		expect(both.promptTokenIds).toEqual(swapped.promptTokenIds);
		const first = (images: Uint8Array[]) =>
			model.logits(both.promptTokenIds, { images });
		expect(await first([picture(0), picture(2)])).not.toEqual(
			await first([picture(2), picture(0)]),
		);
	});

	it("do not reach the template, which would look at each of their bytes", async () => {
		await using model = await Model.load(nanoGemma3());
		const image = { width: 1, height: 1, data: Uint8Array.of(1, 2, 3, 4) };
		const seen: string[] = [];
		Object.defineProperty(image, "trap", {
			enumerable: true,
			get: () => seen.push("looked at"),
		});
		model.chatTemplate.render(ask("?", image));
		expect(seen).toEqual([]);
	});

	it("are read anew for each prompt", async () => {
		await using model = await Model.load(nanoGemma3());
		for (const i of [0, 4, 0]) {
			const { tokenIds } = await model.generate(
				ask(seen[i]!.question, picture(i)),
				greedy,
			);
			expect(tokenIds).toEqual(seen[i]!.greedy_ids);
		}
	});
});

describe("bad input", () => {
	it("is an error that says what was found and expected", async () => {
		await using model = await Model.load(nanoGemma3());
		const image = picture(0);
		const { input_ids } = seen[0]!;
		await expect(model.generate(ask("?", undefined))).rejects.toThrow(
			"images: found 0, expected 1",
		);
		await expect(model.generate(ask("?"), { images: [image] })).rejects.toThrow(
			"images: found 1, expected 0",
		);
		await expect(model.generate("<start_of_image>")).rejects.toThrow(
			OptionError,
		);
		await expect(model.generate("?", { images: [image] })).rejects.toThrow(
			"images: found 1, but 0 times <start_of_image>",
		);
		await expect(model.generate({ ids: input_ids })).rejects.toThrow(
			"images: found 0, but runs of the image token 767",
		);
		await expect(
			model.logits(input_ids, { images: [image, image] }),
		).rejects.toThrow(OptionError);
		await expect(
			model.generate(ask("?", Uint8Array.of(1, 2, 3))),
		).rejects.toThrow(ImageError);
		await expect(model.generate(ask("?", "no/such.png"))).rejects.toThrow(
			ImageError,
		);
		await expect(
			model.generate(ask("?", ...new Array(60).fill(image))),
		).rejects.toThrow(ContextError);
		await using reader = await Model.load();
		await expect(reader.generate(ask("?", image))).rejects.toThrow(
			UnsupportedError,
		);
		await expect(reader.generate("?", { images: [image] })).rejects.toThrow(
			"this model reads text only",
		);
	});
});

describe("held-out questions", () => {
	// One of ten: a single answer is 1 or 2 points of it.
	for (const set of ["vqa", "chartqa_like"])
		testWith("models/eval/nano-gemma3", `about ${set}`, async () => {
			const { compareAccuracy } = await import("./gemma3-accuracy.ts");
			await compareAccuracy(set, 10, 5);
		});
});
