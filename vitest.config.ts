import { defineConfig } from "vitest/config";

/** `npm test` runs "default" in minutes; `npm run test:heavy` runs what needs other runtimes, or time. */
export default defineConfig({
	test: {
		testTimeout: 60_000,
		// One worker per core: Vitest leaves a core to itself, which is half of a small machine.
		maxWorkers: "100%",
		// A file with the results as JSON, for .ci/run.
		reporters: process.env.TEST_REPORT ? ["default", "json"] : ["default"],
		...(process.env.TEST_REPORT
			? { outputFile: { json: process.env.TEST_REPORT } }
			: {}),
		projects: [
			{
				extends: true,
				test: { name: "default", include: ["test/**/*.test.ts"] },
			},
			{
				extends: true,
				test: {
					name: "heavy",
					include: ["test/**/*.heavy.ts"],
					// They install runtimes, count bytes and keep all cores busy: one after the other.
					fileParallelism: false,
				},
			},
		],
	},
});
