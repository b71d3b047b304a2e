import process from "node:process";
import type { GenerateCallOptions, Message, Tool } from "../runtime/server.ts";
import { command } from "./arguments.ts";
import { withModel } from "./loading.ts";
import { writeParts } from "./parts.ts";

const weather: Tool = {
	type: "function",
	function: {
		name: "get_weather",
		description: "Get the weather of a city",
		parameters: {
			type: "object",
			properties: { city: { type: "string" } },
			required: ["city"],
		},
	},
};

interface Scene {
	readonly title: string;
	readonly prompt: string | Message[];
	readonly options: GenerateCallOptions;
}

const scenes: readonly Scene[] = [
	{
		title: "A story goes on",
		prompt: "Once upon a time, there was a brave little fox named Lily.",
		options: { maxNewTokens: 250 },
	},
	{
		title: "A chat",
		prompt: [{ role: "user", content: "Who are you?" }],
		options: { thinking: false, maxNewTokens: 100 },
	},
	{
		title: "Thinking before answering",
		prompt: [{ role: "user", content: "What is 17 + 25?" }],
		options: { thinking: true, maxNewTokens: 160 },
	},
	{
		title: "Calling a tool",
		prompt: [{ role: "user", content: "What is the weather in Oslo?" }],
		options: { thinking: false, tools: [weather], maxNewTokens: 100 },
	},
];

export const demo = command({
	about: "Show what the embedded model can do.",
	flags: ["threads", "quiet"],
	async run(flags) {
		return withModel(flags, async (model) => {
			const { architecture, parameters, threads, kernels, loadMs } = model.info;
			process.stdout.write(
				`${architecture}, ${(parameters / 1e6).toFixed(2)} million parameters, ${threads} threads, ${kernels} kernels, loaded in ${loadMs.toFixed(0)} ms\n`,
			);
			for (const { title, prompt, options } of scenes) {
				const asked =
					typeof prompt === "string" ? prompt : prompt.at(-1)?.content;
				process.stdout.write(`\n── ${title} ──\n> ${asked}\n`);
				await writeParts(
					model.generate(prompt, { ...options, doSample: false }),
					{ reasoning: process.stdout },
				);
			}
			return 0;
		});
	},
});
