import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionError } from "../src/errors.ts";
import { createStopMatcher } from "../src/text/stop.ts";
import { chunks } from "./chunks.ts";

/** Adds one character after the other until the text ends with a stop string; of several, the longest counts. */
function plainly(
	text: string,
	stops: readonly string[],
	before: string,
): { text: string; stop: string | undefined } {
	for (let end = 1; end <= text.length; end++) {
		const seen = before + text.slice(0, end);
		const [stop] = stops
			.filter((stop) => seen.endsWith(stop))
			.sort((a, b) => b.length - a.length);
		if (stop !== undefined) {
			return { text: text.slice(0, Math.max(0, end - stop.length)), stop };
		}
	}
	return { text, stop: undefined };
}

const letters = fc.string({
	unit: fc.constantFrom("a", "b", "c"),
	maxLength: 20,
});
const stop = fc.string({
	unit: fc.constantFrom("a", "b", "c"),
	minLength: 1,
	maxLength: 5,
});

describe("a stop matcher", () => {
	test("finds what a plain search finds, however the text is cut", () => {
		fc.assert(
			fc.property(
				letters,
				letters,
				fc.array(stop, { maxLength: 4 }),
				fc.infiniteStream(fc.integer({ min: 1, max: 4 })),
				(text, before, stops, lengths) => {
					const matcher = createStopMatcher(stops, before);
					let shown = "";
					let found: string | undefined;
					for (const piece of chunks(text, lengths)) {
						const progress = matcher.push(piece);
						shown += progress.text;
						found ??= progress.stop;
						if (progress.stopped) break;
						// Nothing that could still become a stop string is let out.
						const expected = plainly(text, stops, before);
						expect(expected.text.startsWith(shown)).toBe(true);
					}
					shown += matcher.flush();
					expect({ text: shown, stop: found }).toEqual(
						plainly(text, stops, before),
					);
				},
			),
			{ numRuns: 2000 },
		);
	});

	test("holds back no more than it must", () => {
		const matcher = createStopMatcher(["\nUser:"]);
		expect(matcher.push("Hi\n").text).toBe("Hi");
		expect(matcher.push("Us").text).toBe("");
		expect(matcher.push("a").text).toBe("\nUsa");
		expect(matcher.push("ge\nUser: x")).toEqual({
			text: "ge",
			stopped: true,
			stop: "\nUser:",
		});
		expect(matcher.push("more")).toEqual({ text: "", stopped: true });
		expect(matcher.flush()).toBe("");
	});

	test("can begin in the prompt", () => {
		const matcher = createStopMatcher(["stop"], "please st");
		expect(matcher.push("ops").stop).toBe("stop");
		expect(createStopMatcher(["stop"], "stop").push("x").stopped).toBe(false);
	});

	test("lets everything pass without stop strings, and refuses empty ones", () => {
		expect(createStopMatcher([]).push("abc")).toEqual({
			text: "abc",
			stopped: false,
		});
		expect(() => createStopMatcher(["a", ""])).toThrow(OptionError);
		expect(() => createStopMatcher(["a", ""])).toThrow(/stop\[1\] is empty/);
	});
});
