import { expect } from "vitest";
import { Model } from "../src/runtime/server.ts";
import { nanoGemma3 } from "./nano-gemma3.ts";
import { sharedBytes } from "./shared.ts";

/** A held-out question. */
interface Question {
	/** File beside the questions; absent where the question is about text only. */
	readonly image?: string;
	readonly question: string;
	readonly answer: string;
	readonly task: string;
}

const FOLDER = "models/eval/nano-gemma3";
const read = (path: string) => new TextDecoder().decode(sharedBytes(path));

/** What transformers' code scores on the same questions. */
const results: Record<
	string,
	{ all: number; tasks: Record<string, { acc: number }> }
> = JSON.parse(read("models/results_gemma3.json"));

/** Answers every `every`th question of each task of a set, and compares the share of right answers to the reference's. */
export async function compareAccuracy(
	set: string,
	every: number,
	points: number,
): Promise<void> {
	const questions: Question[] = read(`${FOLDER}/${set}.jsonl`)
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line));
	await using model = await Model.load(nanoGemma3());
	const asked: Record<string, number> = {};
	let [right, expected, count] = [0, 0, 0];
	for (const { image, question, answer, task } of questions) {
		asked[task] = (asked[task] ?? 0) + 1;
		if (asked[task] % every !== 0) continue;
		const content = [
			...(image
				? [{ type: "image" as const, image: sharedBytes(`${FOLDER}/${image}`) }]
				: []),
			{ type: "text" as const, text: question },
		];
		const { text } = await model.generate([{ role: "user", content }], {
			doSample: false,
			maxNewTokens: 64,
		});
		right += text === answer ? 1 : 0;
		expected += results[set]!.tasks[task]!.acc;
		count++;
	}
	console.log(
		`${set}: ${((100 * right) / count).toFixed(2)} % of ${count} right, the reference ${((100 * expected) / count).toFixed(2)} %`,
	);
	expect((100 * Math.abs(right - expected)) / count).toBeLessThan(points);
}
