import { once } from "node:events";
import process from "node:process";
import { EngineError } from "../runtime/server.ts";
import { command, UsageError } from "./arguments.ts";
import { modelFlags } from "./flags.ts";
import { withModel } from "./loading.ts";

/** Most probable tokens to list where a person reads. */
const LISTED = 10;

export const logits = command({
	about: "Scores of every vocabulary entry after a prompt.",
	flags: [...modelFlags, "prompt", "ids", "all", "json"],
	async run(flags) {
		if ((flags.prompt === undefined) === (flags.ids === undefined))
			throw new UsageError("expected either --ids or --prompt");
		return withModel(flags, async (model) => {
			const ids = flags.ids ?? model.tokenizer.encode(flags.prompt ?? "");
			const rows = await model.logits([...ids], { all: flags.all ?? false });
			const first = ids.length - rows.length;
			for (const [i, row] of rows.entries()) {
				const bad = row.findIndex((s) => !Number.isFinite(s));
				if (bad >= 0)
					throw new EngineError(
						`position ${first + i}: the logit of token ${bad} is ${row[bad]}, expected finite numbers`,
					);
			}
			if (flags.json) {
				// Row by row: all positions of a large vocabulary exceed the longest string.
				for (const [i, row] of rows.entries())
					await write(`${i === 0 ? '{"logits":[' : ","}[${row.join()}]`);
				await write("]}\n");
				return 0;
			}
			for (const [i, row] of rows.entries()) {
				await write(`position ${first + i}\n`);
				for (const { id, p, score } of mostProbable(row)) {
					const text = JSON.stringify(model.tokenizer.decode([id]));
					await write(
						`  ${(100 * p).toFixed(2).padStart(6)} %  ${score.toFixed(4).padStart(9)}  ${String(id).padStart(6)}  ${text}\n`,
					);
				}
			}
			return 0;
		});
	},
});

async function write(text: string): Promise<void> {
	if (!process.stdout.write(text)) await once(process.stdout, "drain");
}

function mostProbable(row: Float32Array) {
	const best = Array.from(row.keys())
		.sort((a, b) => row[b]! - row[a]! || a - b)
		.slice(0, LISTED);
	const max = row[best[0]!]!;
	const sum = row.reduce((total, score) => total + Math.exp(score - max), 0);
	return best.map((id) => ({
		id,
		score: row[id]!,
		p: Math.exp(row[id]! - max) / sum,
	}));
}
