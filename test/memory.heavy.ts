import { execFileSync } from "node:child_process";
import process from "node:process";
import { expect, test } from "vitest";

const CYCLES = 100;
/** After so many cycles engine and allocator have what they keep for good. */
const WARM_UP = 30;
const SLACK_BYTES = 30e6;

/** Prints the resident bytes after each cycle of load, generate, dispose. */
const script = (threads: number) => `
import { Model } from "nibble-lm";
for (let cycle = 0; cycle < ${CYCLES}; cycle++) {
	const model = await Model.load(undefined, { threads: ${threads} });
	await model.generate("Once upon a time", { maxNewTokens: 4 });
	await model.dispose();
	gc();
	console.log(process.memoryUsage.rss());
}`;

test.each([1, 2])(
	`${CYCLES} times load and dispose leave the resident memory flat, %d threads`,
	(threads) => {
		const output = execFileSync(
			process.execPath,
			["--expose-gc", "--input-type=module", "-e", script(threads)],
			{ encoding: "utf8" },
		);
		const bytes = output.trim().split("\n").map(Number);
		expect(bytes).toHaveLength(CYCLES);
		const median = (values: number[]) =>
			values.sort((a, b) => a - b)[values.length >> 1]!;
		const early = median(bytes.slice(WARM_UP, WARM_UP + 10));
		const late = median(bytes.slice(-10));
		console.log(
			`${threads} threads: ${(early / 1e6).toFixed(0)} MB after ${WARM_UP} cycles, ${(late / 1e6).toFixed(0)} MB after ${CYCLES}`,
		);
		expect(late - early).toBeLessThan(SLACK_BYTES);
	},
	300_000,
);
