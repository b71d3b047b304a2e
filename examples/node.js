// node examples/node.js [CHECKPOINT]: streams an answer, what the model thinks first in grey. Ctrl-C stops it.
import process from "node:process";
import { Model } from "nibble-lm";

const controller = new AbortController();
process.once("SIGINT", () => controller.abort());

const model = await Model.load(process.argv[2]);
const answer = model.generate([{ role: "user", content: "What is 17 + 25?" }], {
	thinking: true,
	maxNewTokens: 200,
	signal: controller.signal,
});
try {
	for await (const part of answer) {
		if (part.type === "reasoning")
			process.stdout.write(`\x1b[90m${part.text}\x1b[0m`);
		else if (part.type === "text") process.stdout.write(part.text);
	}
	const { tokenIds, timings } = await answer;
	const perSecond = (1000 * tokenIds.length) / timings.decodeMs;
	console.log(
		`\n${tokenIds.length} tokens, ${perSecond.toFixed(0)} per second`,
	);
} catch (error) {
	if (!controller.signal.aborted) throw error;
} finally {
	await model.dispose();
}
