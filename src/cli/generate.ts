import process from "node:process";
import type { GenerateResult, Model } from "../runtime/server.ts";
import { command, UsageError } from "./arguments.ts";
import { modelFlags, samplingFlags } from "./flags.ts";
import { withModel } from "./loading.ts";
import { peakMemoryBytes, perSecond } from "./measurement.ts";
import { writeParts } from "./parts.ts";
import {
	generateOptions,
	messagesOf,
	readStdin,
	readTools,
	thinkingOf,
} from "./prompt.ts";

export const generate = command({
	about: "Continue a text or answer a message.",
	operands: "[TEXT]",
	flags: [
		...modelFlags,
		"prompt",
		"ids",
		"chat",
		"system",
		"tools",
		"template",
		"image",
		"thinking",
		"no-thinking",
		...samplingFlags,
		"json",
	],
	async run(flags, operands) {
		if (operands.length > 1)
			throw new UsageError(
				`unexpected ${JSON.stringify(operands[1])}; quote a text of several words`,
			);
		const starts = [flags.prompt, flags.ids, operands[0]].filter(
			(start) => start !== undefined,
		);
		if (starts.length > 1)
			throw new UsageError(
				"found several prompts, expected one of --prompt, --ids and TEXT",
			);
		const thinking = thinkingOf(flags);
		const isChat =
			flags.chat ||
			thinking !== undefined ||
			flags.system !== undefined ||
			flags.tools !== undefined ||
			flags.template !== undefined ||
			flags.image !== undefined;
		if (isChat && flags.ids)
			throw new UsageError("a chat needs a text, found --ids");
		const start = starts[0] ?? (await readStdin());
		if (start === undefined)
			throw new UsageError("expected --prompt, --ids, TEXT or a text on stdin");
		const tools = await readTools(flags.tools);
		const options = {
			...generateOptions(flags),
			thinking,
			tools,
			templateName: flags.template,
		};
		const input =
			typeof start !== "string"
				? { ids: [...start] }
				: isChat
					? messagesOf(flags.system, start, flags.image)
					: start;

		return withModel(flags, async (model) => {
			const generation = model.generate(input, options);
			if (!flags.json) await writeParts(generation);
			const result = await generation;
			if (flags.json)
				process.stdout.write(`${JSON.stringify(record(model, result))}\n`);
			return 0;
		});
	},
});

/** The machine-readable result: a stable contract. Reasoning, tool calls and seed appear only where there are some. */
function record(model: Model, result: GenerateResult) {
	const { timings } = result;
	return {
		text: result.text,
		tokenIds: [...result.tokenIds],
		promptTokenIds: [...result.promptTokenIds],
		finishReason: result.finishReason,
		threads: model.info.threads,
		kernels: model.info.kernels,
		loadMs: model.info.loadMs,
		prefillTokensPerSecond: perSecond(
			result.promptTokenIds.length - timings.reusedTokens,
			timings.prefillMs,
		),
		// The first token comes out of the prompt's last step.
		decodeTokensPerSecond: perSecond(
			result.tokenIds.length - 1,
			timings.decodeMs,
		),
		peakMemoryBytes: peakMemoryBytes(),
		...(result.reasoning ? { reasoning: result.reasoning } : {}),
		...(result.toolCalls.length > 0 ? { toolCalls: result.toolCalls } : {}),
		...(result.seed === undefined ? {} : { seed: result.seed }),
	};
}
