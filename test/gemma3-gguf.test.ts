import { describe, expect, it } from "vitest";
import {
	CheckpointError,
	Model,
	UnsupportedError,
} from "../src/runtime/server.ts";
import { ggufNanoGemma3 } from "./gemma3-gguf.ts";
import { golden, goldenImage, largestDifference } from "./nano-gemma3.ts";

const files = await ggufNanoGemma3();
const greedy = { doSample: false, maxNewTokens: 40 } as const;

describe("nano-gemma3 as GGUF", () => {
	const texts = golden.filter((c) => c.image === undefined);
	it.each(texts)("$name: ids, logits and greedy tokens", async (c) => {
		await using model = await Model.load(files.text);
		expect(model.tokenizer.encode(c.text, { addSpecialTokens: false })).toEqual(
			c.input_ids,
		);
		const [logits] = await model.logits(c.input_ids);
		expect(largestDifference(logits!, c.last_logits)).toBeLessThan(1e-3);
		const { tokenIds } = await model.generate({ ids: c.input_ids }, greedy);
		expect(tokenIds).toEqual(c.greedy_ids);
	});

	it.each([
		["as it is named", false],
		["with feed-forward matrices under each other's names", true],
	])("sees with its mmproj file, %s", async (_, swapped) => {
		const mmproj = files.mmproj(swapped);
		await using model = await Model.load(files.text, { mmproj });
		for (const c of golden) {
			const images = c.image ? [goldenImage(c.image)] : [];
			const [logits] = await model.logits(c.input_ids, { images });
			expect(largestDifference(logits!, c.last_logits)).toBeLessThan(1e-3);
			const content = [
				...images.map((image) => ({ type: "image" as const, image })),
				{ type: "text" as const, text: c.question },
			];
			const answer = await model.generate([{ role: "user", content }], greedy);
			expect(answer.promptTokenIds).toEqual(c.input_ids);
			expect(answer.tokenIds).toEqual(c.greedy_ids);
		}
	});

	it("refuses an mmproj file that is none, or without a text model that has a place for images", async () => {
		const mmproj = files.mmproj(false);
		await expect(
			Model.load(files.text, { mmproj: files.text }),
		).rejects.toThrow(CheckpointError);
		await expect(Model.load(undefined, { mmproj })).rejects.toThrow(
			UnsupportedError,
		);
	});
});
