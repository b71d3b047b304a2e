import { describe, expect, it } from "vitest";
import { Memory } from "../src/engine/memory.ts";
import { PagePool, Sequence } from "../src/engine/pages.ts";
import { Model, type StepProfile } from "../src/runtime/server.ts";
import { golden, goldenImage, nanoGemma3 } from "./nano-gemma3.ts";

const WINDOW = 64;
const greedy = { doSample: false, maxNewTokens: 8, ignoreEos: true } as const;

/** Any tokens of the vocabulary, none of them special. */
const tokens = (count: number, seed = 1): number[] =>
	Array.from({ length: count }, (_, i) => 300 + ((i * 37 + seed * 101) % 400));

describe("a sequence with a window", () => {
	/** Grows a sequence by `steps`, and says from which lengths it could go on. */
	function grown(steps: readonly number[], window: number, rows: number) {
		const pools = [0, window].map(
			(window) =>
				new PagePool({ window, bankBytes: [4096] }, [new Memory(false)]),
		);
		const sequence = new Sequence(pools, { contextTokens: 4096, rows });
		for (const step of steps) {
			sequence.reserve(sequence.length + step);
			sequence.length += step;
		}
		const { length } = sequence;
		const ways = Array.from({ length: length + 1 }, (_, n) => n).filter((n) =>
			sequence.canTruncate(n),
		);
		return { sequence, ways };
	}

	it.each([
		{ window: 64, rows: 128, steps: [128, 128, 128, 40, ...ones(70)] },
		{ window: 100, rows: 16, steps: [...ones(10, 16), ...ones(200)] },
		{ window: 1, rows: 1, steps: ones(300) },
		{ window: 512, rows: 256, steps: [256, 256, 256, 256, 17] },
	])(
		"of $window goes back as far as a step of $rows goes forward",
		({ window, rows, steps }) => {
			const { sequence, ways } = grown(steps, window, rows);
			const { length } = sequence;
			const nearest = Math.max(0, length - rows);
			expect(ways).toEqual(
				expect.arrayContaining(
					ones(length - nearest).map((_, i) => nearest + i),
				),
			);
			// Nothing lies between the beginning and what is left: pages are let go of from the front.
			const [first, second] = ways as [number, number];
			expect(first).toBe(0);
			expect(ways.slice(1)).toEqual(
				ones(length - second + 1).map((_, i) => second + i),
			);
			// What is left begins with a whole page, which the window of the first way back must reach.
			if (second > 1) expect((second - window + 1) % 64).toBe(0);
		},
	);

	it("forgets no more than it was told to", () => {
		const { sequence } = grown([128, 128, 128], WINDOW, 128);
		sequence.truncate(300);
		expect(sequence.length).toBe(300);
		expect(sequence.canTruncate(300)).toBe(true);
		expect(sequence.canTruncate(64)).toBe(false);
		sequence.clear();
		expect(sequence.canTruncate(0)).toBe(true);
	});
});

const ones = (count: number, value = 1): number[] =>
	new Array<number>(count).fill(value);

describe("a conversation with a model that has windows", () => {
	async function answers(first: number[], second: number[], options = {}) {
		await using model = await Model.load(nanoGemma3(), options);
		await model.generate({ ids: first }, greedy);
		const { tokenIds, timings } = await model.generate({ ids: second }, greedy);
		await using fresh = await Model.load(nanoGemma3(), options);
		const expected = await fresh.generate({ ids: second }, greedy);
		expect(tokenIds).toEqual(expected.tokenIds);
		return timings.reusedTokens;
	}

	it("computes only what is new of a turn", async () => {
		const first = tokens(300);
		await using model = await Model.load(nanoGemma3());
		const { tokenIds } = await model.generate({ ids: first }, greedy);
		const ids = [...first, ...tokenIds, ...tokens(20, 2)];
		const again = await model.generate({ ids }, greedy);
		// The last token of an answer has not been read yet.
		expect(again.timings.reusedTokens).toBe(first.length + tokenIds.length - 1);
		await using fresh = await Model.load(nanoGemma3());
		const expected = await fresh.generate({ ids }, greedy);
		expect(again.tokenIds).toEqual(expected.tokenIds);
	});

	it("goes back into what the window still has", async () => {
		const first = tokens(300);
		const second = [...first.slice(0, 260), ...tokens(50, 3)];
		expect(await answers(first, second)).toBe(260);
		const shorter = first.slice(0, 280);
		expect(await answers(first, shorter)).toBe(279);
	});

	it("begins again where the window has passed", async () => {
		const first = tokens(600);
		for (const same of [300, 64, 63, 1]) {
			const second = [...first.slice(0, same), ...tokens(100, 3)];
			expect(await answers(first, second, { chunkTokens: 32 })).toBe(0);
		}
	});

	it("goes on from anywhere in a text that no window has left", async () => {
		const first = tokens(100);
		for (const same of [1, 63, 64, 65, 99])
			expect(await answers(first, [...first.slice(0, same), 299, 298])).toBe(
				same,
			);
	});
});

describe("a conversation about an image", () => {
	const seen = golden.filter((c) => c.image !== undefined);
	const [one, other] = seen.map((c) => goldenImage(c.image!)) as [
		Uint8Array,
		Uint8Array,
	];
	const { input_ids } = seen[0]!;
	const soft = input_ids.filter((id, i) => input_ids[i + 1] === id)[0]!;
	const start = input_ids.indexOf(soft);
	const longer = [...input_ids, ...tokens(10)];

	async function turns(...prompts: [ids: number[], image: Uint8Array][]) {
		const profiles: StepProfile[] = [];
		await using model = await Model.load(nanoGemma3(), {
			onProfile: (profile) => profiles.push(profile),
		});
		const results = [];
		for (const [ids, image] of prompts) {
			profiles.length = 0;
			const result = await model.generate(
				{ ids },
				{ ...greedy, images: [image] },
			);
			const { rows } = profiles[0]!;
			results.push({ ...result, encoded: rows > ids.length });
		}
		return results;
	}

	it("encodes it once, and reads it once", async () => {
		const [, again] = await turns([input_ids, one], [longer, one]);
		expect(again!.encoded).toBe(false);
		expect(again!.timings.reusedTokens).toBeGreaterThanOrEqual(
			input_ids.length,
		);
		const [fresh] = await turns([longer, one]);
		expect(fresh!.encoded).toBe(true);
		expect(again!.tokenIds).toEqual(fresh!.tokenIds);
	});

	it("takes another image for another, though its tokens are the same", async () => {
		const [, again] = await turns([input_ids, one], [longer, other]);
		expect(again!.encoded).toBe(true);
		expect(again!.timings.reusedTokens).toBe(start);
		const [fresh] = await turns([longer, other]);
		expect(again!.tokenIds).toEqual(fresh!.tokenIds);
	});

	it("reads it again after another beginning, without encoding it", async () => {
		const moved = [tokens(1)[0]!, ...input_ids.slice(1)];
		const [, again] = await turns([input_ids, one], [moved, one]);
		expect(again!.encoded).toBe(false);
		expect(again!.timings.reusedTokens).toBe(0);
		const [fresh] = await turns([moved, one]);
		expect(again!.tokenIds).toEqual(fresh!.tokenIds);
	});

	it("does not take part of an image", async () => {
		const [, again] = await turns(
			[input_ids, one],
			[input_ids.slice(0, input_ids.lastIndexOf(soft) + 1), one],
		);
		expect(again!.timings.reusedTokens).toBe(start);
	});
});
