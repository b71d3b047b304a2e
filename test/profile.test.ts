import { expect, test } from "vitest";
import { summarize } from "../src/cli/profile.ts";
import { Model, type StepProfile } from "../src/runtime/server.ts";

const ids = Array.from({ length: 40 }, (_, i) => i + 1);
const NEW_TOKENS = 4;

async function generate(
	threads: number,
	onProfile?: (profile: StepProfile) => void,
) {
	await using model = await Model.load(undefined, { threads, onProfile });
	const { tokenIds } = await model.generate(
		{ ids },
		{ maxNewTokens: NEW_TOKENS, ignoreEos: true, doSample: false },
	);
	return tokenIds;
}

test.each([1, 2])(
	"a profile of %i threads accounts for each step",
	async (threads) => {
		const profiles: StepProfile[] = [];
		expect(await generate(threads, (p) => profiles.push(p))).toEqual(
			await generate(threads),
		);
		// The last token is not fed back.
		expect(profiles.map((p) => p.rows)).toEqual([
			ids.length,
			...new Array(NEW_TOKENS - 1).fill(1),
		]);
		expect(profiles.map((p) => p.betweenMs !== undefined)).toEqual([
			false,
			...new Array(NEW_TOKENS - 1).fill(true),
		]);
		for (const { betweenMs = 0 } of profiles)
			expect(betweenMs).toBeGreaterThanOrEqual(0);
		for (const { parts, instructions, programMs, stepMs } of profiles) {
			expect(parts).toBe(threads);
			const kernels = instructions.flatMap((i) => i.calls);
			expect(kernels.map((c) => c.kernel)).toContain("swiglu_f32");
			const spent =
				kernels.reduce((sum, c) => sum + c.ms, 0) +
				instructions.reduce((sum, i) => sum + i.waitMs, 0);
			expect(spent).toBeGreaterThan(0);
			expect(spent).toBeLessThanOrEqual(programMs);
			expect(programMs).toBeLessThanOrEqual(stepMs);
			if (threads === 1)
				expect(instructions.every((i) => i.waitMs === 0)).toBe(true);
		}
	},
);

test("a summary adds up calls of the same kernel and size", async () => {
	const profiles: StepProfile[] = [];
	await generate(1, (p) => profiles.push(p));
	const [decode, prefill] = summarize(profiles);
	expect(decode).toMatchObject({ rows: 1, steps: NEW_TOKENS - 1, barriers: 0 });
	expect(prefill).toMatchObject({ rows: ids.length, steps: 1 });
	const layers = 4;
	expect(
		decode!.kernels.find((k) => k.kernel === "swiglu_f32")?.calls,
	).toBeCloseTo(layers);
	expect(decode!.kernels.reduce((sum, k) => sum + k.calls, 0)).toBeCloseTo(
		decode!.calls,
	);
});
