import { readFile } from "node:fs/promises";
import process from "node:process";
import type { GenerateOptions, Message, Tool } from "../runtime/server.ts";
import { UsageError } from "./arguments.ts";
import type { samplingFlags, Values } from "./flags.ts";

/** The generation options that the flags give; what is not given stays undefined, for the model's own to count. */
export function generateOptions(
	flags: Values<(typeof samplingFlags)[number]>,
): GenerateOptions {
	if (flags.greedy && flags.sample)
		throw new UsageError("--greedy and --sample contradict each other");
	return {
		maxNewTokens: flags["max-new-tokens"],
		minNewTokens: flags["min-new-tokens"],
		ignoreEos: flags["ignore-eos"],
		stop: flags.stop,
		doSample: flags.greedy ? false : flags.sample,
		temperature: flags.temperature,
		topK: flags["top-k"],
		topP: flags["top-p"],
		minP: flags["min-p"],
		typicalP: flags["typical-p"],
		topH: flags["top-h"],
		epsilonCutoff: flags["epsilon-cutoff"],
		etaCutoff: flags["eta-cutoff"],
		seed: flags.seed,
		repetitionPenalty: flags["repetition-penalty"],
		noRepeatNgramSize: flags["no-repeat-ngram-size"],
	};
}

/** True, false, or undefined for the template's default. */
export function thinkingOf(
	flags: Values<"thinking" | "no-thinking">,
): boolean | undefined {
	if (flags.thinking && flags["no-thinking"])
		throw new UsageError("--thinking and --no-thinking contradict each other");
	return flags["no-thinking"] ? false : flags.thinking;
}

/** The system message, if there is one, in front of the user's, in which the images come first. */
export function messagesOf(
	system: string | undefined,
	prompt: string,
	images: readonly string[] = [],
): Message[] {
	const shown = images.map((image) => ({ type: "image" as const, image }));
	const content =
		images.length > 0
			? [...shown, { type: "text" as const, text: prompt }]
			: prompt;
	const messages: Message[] = [{ role: "user", content }];
	if (system !== undefined)
		messages.unshift({ role: "system", content: system });
	return messages;
}

export async function readTools(
	path: string | undefined,
): Promise<Tool[] | undefined> {
	if (path === undefined) return undefined;
	const text = await readFile(path, "utf8").catch((error: Error) => {
		throw new UsageError(`--tools ${path}: ${error.message}`);
	});
	const tools = parseJson(text, `--tools ${path}`);
	if (!Array.isArray(tools))
		throw new UsageError(`--tools ${path}: expected a JSON list of tools`);
	return tools;
}

export function parseJson(text: string, where: string): unknown {
	try {
		return JSON.parse(text);
	} catch (error) {
		throw new UsageError(
			`${where}: ${error instanceof Error ? error.message : error}`,
		);
	}
}

/** All of a piped stdin; undefined where a person sits. */
export async function readStdin(): Promise<string | undefined> {
	if (process.stdin.isTTY) return undefined;
	process.stdin.setEncoding("utf8");
	let text = "";
	for await (const chunk of process.stdin) text += chunk;
	return text;
}

/** Lines of stdin, split at \n only: unlike node:readline, which also splits at U+2028 inside of JSON strings. */
export async function* stdinLines(): AsyncGenerator<string> {
	process.stdin.setEncoding("utf8");
	let rest = "";
	for await (const chunk of process.stdin) {
		const lines = (rest + chunk).split("\n");
		rest = lines.pop() ?? "";
		yield* lines;
	}
	if (rest !== "") yield rest;
}
