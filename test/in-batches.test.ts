import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { inBatches } from "../src/runtime/in-batches.ts";

beforeEach(() => {
	vi.useFakeTimers();
});
afterEach(() => {
	vi.useRealTimers();
});

test("the first goes at once, the rest in batches, none later than it must", () => {
	const sent: (readonly number[])[] = [];
	const { push } = inBatches<number>((items) => sent.push(items));
	push(0);
	expect(sent).toEqual([[0]]);
	vi.advanceTimersByTime(5);
	push(1);
	push(2);
	expect(sent).toEqual([[0]]);
	vi.advanceTimersByTime(3);
	expect(sent).toEqual([[0], [1, 2]]);
	vi.advanceTimersByTime(8);
	push(3);
	expect(sent).toEqual([[0], [1, 2], [3]]);
	vi.advanceTimersByTime(100);
	expect(sent).toHaveLength(3);
});

test("where timers get no turn, the next one takes along what waits", () => {
	const sent: (readonly number[])[] = [];
	const { push } = inBatches<number>((items) => sent.push(items));
	for (let i = 0; i < 10; i++) {
		vi.spyOn(performance, "now").mockReturnValue(5 * i);
		push(i);
	}
	expect(sent).toEqual([[0], [1, 2], [3, 4], [5, 6], [7, 8]]);
	vi.restoreAllMocks();
});

test("what is left at the end is sent once", () => {
	const sent: (readonly number[])[] = [];
	const { push, flush } = inBatches<number>((items) => sent.push(items));
	flush();
	push(0);
	push(1);
	flush();
	flush();
	vi.advanceTimersByTime(100);
	expect(sent).toEqual([[0], [1]]);
});
