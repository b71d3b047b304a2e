// deno run examples/deno.ts: what the model would say next, and how sure it is. Needs no permissions.
import { Model } from "nibble-lm";

const model = await Model.load();
const text = "Once upon a time, there was a brave little";
const ids = model.tokenizer.encode(text);
const [scores] = await model.logits(ids);

const largest = Math.max(...scores!);
const weights = Array.from(scores!, (score) => Math.exp(score - largest));
const sum = weights.reduce((a, b) => a + b);
const best = weights
	.map((weight, id) => ({ id, probability: weight / sum }))
	.sort((a, b) => b.probability - a.probability)
	.slice(0, 5);

console.log(text);
for (const { id, probability } of best)
	console.log(
		`${(100 * probability).toFixed(1).padStart(5)} %  ${model.tokenizer.decode([id])}`,
	);
await model.dispose();
