import { expect, test } from "vitest";
import { speedOf } from "../bench/statistics.ts";
import { digits, printTable } from "../bench/table.ts";

test("speed over rounds", () => {
	const phases = [
		{ tokens: 100, ms: 500, cpuMs: 400 },
		{ tokens: 100, ms: 1000, cpuMs: 250 },
		{ tokens: 100, ms: 2000, cpuMs: 800 },
	];
	expect(speedOf(phases)).toEqual({
		best: 200,
		median: 100,
		perCpuSecond: 400,
	});
	expect(speedOf(phases.slice(1)).median).toBe(75);
});

test("a table is markdown with text to the left and numbers to the right", () => {
	expect(
		printTable([
			["name", "tokens/s"],
			["a", digits(1234.5)],
			["long", digits(9.876)],
		]),
	).toBe(
		[
			"| name | tokens/s |",
			"|------|---------:|",
			"| a    |     1235 |",
			"| long |     9.88 |",
		].join("\n"),
	);
});
