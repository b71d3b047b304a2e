import process from "node:process";
import { createInterface } from "node:readline";
import type {
	GenerateCallOptions,
	Message,
	Model,
	Part,
} from "../runtime/server.ts";
import { command } from "./arguments.ts";
import { modelFlags, samplingFlags } from "./flags.ts";
import { withModel } from "./loading.ts";
import { writeParts } from "./parts.ts";
import { generateOptions, readTools, thinkingOf } from "./prompt.ts";

const HELP = `  /think      reason before answering
  /no_think   answer at once
  /tool TEXT  give the result of a tool call
  /reset      forget the conversation
  /exit       leave (or Ctrl-D); Ctrl-C stops an answer
`;

export const chat = command({
	about: "Talk with the model, or pipe one message per line into it.",
	flags: [
		...modelFlags,
		"system",
		"tools",
		"template",
		"thinking",
		"no-thinking",
		...samplingFlags,
	],
	async run(flags) {
		const settings = {
			...generateOptions(flags),
			thinking: thinkingOf(flags),
			tools: await readTools(flags.tools),
			templateName: flags.template,
		};
		return withModel(flags, (model) => converse(model, settings, flags.system));
	},
});

async function converse(
	model: Model,
	settings: GenerateCallOptions,
	system: string | undefined,
): Promise<number> {
	const beginning: Message[] =
		system === undefined ? [] : [{ role: "system", content: system }];
	let messages = [...beginning];
	let { thinking } = settings;
	let answering: AbortController | undefined;

	const isInteractive = process.stdin.isTTY === true;
	const lines = createInterface({
		input: process.stdin,
		...(isInteractive ? { output: process.stderr, prompt: "> " } : {}),
	});
	// In a terminal Ctrl-C arrives as a key press of this line editor, otherwise as the process's signal.
	const interrupt = () => {
		if (answering) answering.abort();
		else lines.close();
	};
	lines.on("SIGINT", interrupt);
	process.on("SIGINT", interrupt);
	if (isInteractive) {
		process.stderr.write(HELP);
		lines.prompt();
	}
	try {
		for await (const line of lines) {
			const [name, rest] = splitCommand(line);
			if (name === "/exit") break;
			if (name === "/reset") messages = [...beginning];
			else if (name === "/think") thinking = true;
			else if (name === "/no_think") thinking = false;
			else if (name !== undefined && name !== "/tool")
				process.stderr.write(HELP);
			else if (rest !== "") {
				messages.push({ role: name ? "tool" : "user", content: rest });
				answering = new AbortController();
				const { signal } = answering;
				const answer = model.generate(messages, {
					...settings,
					thinking,
					signal,
				});
				messages.push({
					role: "assistant",
					content: await sayAnswer(answer, signal),
				});
				answering = undefined;
			}
			if (isInteractive) lines.prompt();
		}
	} finally {
		process.off("SIGINT", interrupt);
		lines.close();
	}
	return 0;
}

/** "/tool 12 °C" → ["/tool", "12 °C"]; what is no command → [undefined, the line]. */
function splitCommand(line: string): [string | undefined, string] {
	const match = /^(\/\w+)\s*(.*?)\s*$/.exec(line);
	return match ? [match[1], match[2] ?? ""] : [undefined, line.trim()];
}

/** Prints an answer as it comes, and returns what the conversation remembers of it: all but the reasoning, also if it was stopped. */
async function sayAnswer(
	answer: AsyncIterable<Part>,
	signal: AbortSignal,
): Promise<string> {
	let said = "";
	async function* remember() {
		for await (const part of answer) {
			if (part.type === "text") said += part.text;
			if (part.type === "tool-call") said += part.raw;
			yield part;
		}
	}
	await writeParts(remember()).catch((error) => {
		if (!signal.aborted) throw error;
		process.stdout.write("\n");
	});
	return said;
}
