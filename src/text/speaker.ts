import { createDetokenizer } from "./detokenizer.ts";
import {
	createPartSplitter,
	type Part,
	type PartSplitterOptions,
	type ToolCallPart,
} from "./parts.ts";
import { createStopMatcher } from "./stop.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What was said, all together. */
export interface Spoken {
	readonly text: string;
	readonly reasoning: string;
	readonly toolCalls: readonly ToolCallPart[];
}

/** Turns tokens into parts, gives each to `emit`, and collects them. */
export interface Speaker {
	/** Says whether a stop string has ended the text. */
	push(id: number): boolean;
	end(): Spoken;
}

/** Without a tokenizer, one that has nothing to say. */
export function createSpeaker(
	tokenizer: Tokenizer | undefined,
	how: PartSplitterOptions,
	stop: readonly string[],
	emit: (part: Part) => void,
): Speaker {
	let text = "";
	let reasoning = "";
	const toolCalls: ToolCallPart[] = [];
	const give = (parts: readonly Part[]) => {
		for (const part of parts) {
			if (part.type === "text") text += part.text;
			else if (part.type === "reasoning") reasoning += part.text;
			else toolCalls.push(part);
			emit(part);
		}
	};
	if (!tokenizer)
		return { push: () => false, end: () => ({ text, reasoning, toolCalls }) };
	const splitter = createPartSplitter(tokenizer, how);
	const detokenizer = createDetokenizer(tokenizer, {
		skipSpecialTokens: true,
		keep: splitter.markerIds,
		continues: true,
	});
	const matcher = createStopMatcher(stop);
	return {
		push(id: number): boolean {
			const matched = matcher.push(detokenizer.push(id));
			give(splitter.push(matched.text));
			return matched.stopped;
		},
		end() {
			const rest = matcher.push(detokenizer.flush());
			give(splitter.push(rest.text + matcher.flush()));
			give(splitter.flush());
			return { text, reasoning, toolCalls };
		},
	};
}
