import type { ResolvedOptions } from "./resolve.ts";

/**
 * Why a text ended: the model said so or produced one of stopTokenIds ("stop"), it contains a stop string ("stop-string"),
 * it is as long as allowed or took as long ("length"), or its reader left before the end ("abort").
 */
export type FinishReason = "stop" | "stop-string" | "length" | "abort";

/**
 * Starts the clock and returns the test to make after each new token. Stop strings, which need text, are looked for elsewhere.
 * @param now milliseconds.
 */
export function createStopping(
	options: Pick<
		ResolvedOptions,
		"promptTokens" | "maxNewTokens" | "maxTimeMs" | "stopTokenIds"
	>,
	now: () => number = () => performance.now(),
): (ids: readonly number[]) => "stop" | "length" | undefined {
	const maxTokens = options.promptTokens + options.maxNewTokens;
	const stopTokenIds = new Set(options.stopTokenIds);
	const deadline = now() + options.maxTimeMs;
	return (ids) => {
		if (ids.length > options.promptTokens && stopTokenIds.has(ids.at(-1)!))
			return "stop";
		if (ids.length >= maxTokens || now() > deadline) return "length";
		return undefined;
	};
}
