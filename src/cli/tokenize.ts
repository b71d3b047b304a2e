import process from "node:process";
import { loadTokenizer } from "../runtime/server.ts";
import { command, UsageError } from "./arguments.ts";
import { sourceFlags } from "./flags.ts";
import { sourceOptions } from "./loading.ts";
import { parseJson, stdinLines } from "./prompt.ts";

export const tokenize = command({
	about: "Token ids of each line on stdin, and the text they stand for.",
	flags: [...sourceFlags, "no-special", "json"],
	async run(flags) {
		const tokenizer = await loadTokenizer(flags.model, sourceOptions(flags));
		let number = 0;
		for await (const line of stdinLines()) {
			number++;
			if (flags.json && line.trim() === "") continue;
			const text = flags.json ? parseJson(line, `stdin line ${number}`) : line;
			if (typeof text !== "string")
				throw new UsageError(
					`stdin line ${number} is ${line.slice(0, 60)}, expected one JSON string per line`,
				);
			const ids = tokenizer.encode(text, {
				addSpecialTokens: !flags["no-special"],
			});
			process.stdout.write(
				flags.json
					? `${JSON.stringify({ ids, text: tokenizer.decode(ids) })}\n`
					: `${ids.join(" ")}\n`,
			);
		}
		return 0;
	},
});
