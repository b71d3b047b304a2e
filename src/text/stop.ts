import { OptionError } from "../errors.ts";

/** Looks for stop strings in a text that comes in pieces, and never lets out what might be the beginning of one. */
export interface StopMatcher {
	/** Takes the next piece. Once `stopped`, every further piece is dropped. */
	push(piece: string): StopProgress;
	/** The text held back that turned out not to be a stop string. */
	flush(): string;
}

export interface StopProgress {
	/** Text that can be shown: what precedes the stop string, or anything that cannot be part of one. */
	readonly text: string;
	readonly stopped: boolean;
	/** The stop string that was found. */
	readonly stop?: string;
}

/**
 * The stop string that ends first counts, of those that end together the longest, wherever the text was cut into
 * pieces. It may lie inside a token, and the token may go on after it.
 * @param stops Stop strings, none of them empty. Without any, everything passes.
 * @param before The end of the prompt, if a stop string may begin there, as transformers has it.
 */
export function createStopMatcher(
	stops: readonly string[],
	before = "",
): StopMatcher {
	const empty = stops.indexOf("");
	if (empty >= 0) {
		throw new OptionError(`stop[${empty}] is empty, expected some text`);
	}
	// A stop string can begin at most this many characters before the text that completes it.
	const reach = Math.max(0, ...stops.map((stop) => stop.length - 1));
	let held = reach > 0 ? before.slice(-reach) : "";
	/** How much of `held` is prompt, which has been shown already. */
	let shown = held.length;
	let stopped = false;

	const release = (to: number): string => {
		const text = held.slice(shown, Math.max(shown, to));
		shown = Math.max(0, shown - to);
		held = held.slice(to);
		return text;
	};

	return {
		push(piece) {
			if (stopped) return { text: "", stopped };
			const known = held.length;
			held += piece;
			const found = firstStop(held, stops, known);
			if (found) {
				stopped = true;
				const text = release(found.start);
				held = "";
				return { text, stopped, stop: found.stop };
			}
			const text = release(held.length - beginning(held, stops, reach));
			return { text, stopped };
		},
		flush() {
			return stopped ? "" : release(held.length);
		},
	};
}

/** The stop string that ends first in `text`, after its first `known` characters. */
function firstStop(
	text: string,
	stops: readonly string[],
	known: number,
): { stop: string; start: number } | undefined {
	let best: { stop: string; start: number } | undefined;
	let bestEnd = Number.POSITIVE_INFINITY;
	for (const stop of stops) {
		const start = text.indexOf(stop, Math.max(0, known - stop.length + 1));
		const end = start + stop.length;
		if (start < 0 || end > bestEnd) continue;
		if (end < bestEnd || best === undefined || start < best.start) {
			best = { stop, start };
			bestEnd = end;
		}
	}
	return best;
}

/** Length of the longest end of `text` that begins one of `words` without being all of it. */
export function beginning(
	text: string,
	words: readonly string[],
	reach: number,
): number {
	for (let length = Math.min(reach, text.length); length > 0; length--) {
		const end = text.slice(text.length - length);
		if (words.some((word) => word.length > length && word.startsWith(end))) {
			return length;
		}
	}
	return 0;
}
