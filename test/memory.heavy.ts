import { execFileSync } from "node:child_process";
import process from "node:process";
import { expect, test } from "vitest";
import { modelFile } from "../bench/model-file.ts";

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

const CONTEXT_TOKENS = 1024;
/** Batches of weights that wait to be packed. */
const STAGING_BYTES = 24 * 2 ** 20;
/** What the runtime takes besides: tokenizer, compiled kernels, heaps of threads, and what is not collected yet. */
const RUNTIME_BYTES = 90e6;

/** Prints the estimate, and the growth of the resident memory's peak by loading and by a text as long as the context. */
const peaks = (path: string, threads: number) => `
import { Model } from "nibble-lm";
const options = { threads: ${threads}, contextTokens: ${CONTEXT_TOKENS} };
const small = await Model.load(undefined, options);
await small.generate("Once upon a time", { maxNewTokens: 4 });
await small.dispose();
const source = ${JSON.stringify(path)};
const estimate = await Model.estimate(source, options);
gc();
const before = process.memoryUsage().rss;
const growth = () => process.resourceUsage().maxRSS * 1024 - before;
const model = await Model.load(source, options);
const loaded = growth();
const ids = Array.from({ length: ${CONTEXT_TOKENS} - 2 }, (_, i) => i);
await model.generate({ ids }, { maxNewTokens: 2, ignoreEos: true });
console.log(JSON.stringify({ estimate, loaded, used: growth() }));
await model.dispose();`;

test.each([1, 2])(
	"loading takes weights and staging, using what was estimated, %d threads",
	async (threads) => {
		const script = peaks(await modelFile("SmolLM2-360M", "BF16"), threads);
		const output = execFileSync(
			process.execPath,
			["--expose-gc", "--input-type=module", "-e", script],
			{ encoding: "utf8" },
		);
		const { estimate, loaded, used } = JSON.parse(output);
		const { weightBytes, totalBytes } = estimate;
		const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
		console.log(
			`${threads} threads: ${mb(loaded)} to load ${mb(weightBytes)} of weights, ${mb(used)} in use, ${mb(totalBytes)} estimated`,
		);
		expect(loaded).toBeLessThan(weightBytes + STAGING_BYTES + RUNTIME_BYTES);
		expect(used).toBeGreaterThan(0.95 * totalBytes);
		expect(used).toBeLessThan(totalBytes + RUNTIME_BYTES);
	},
	300_000,
);
