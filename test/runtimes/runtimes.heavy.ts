import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { behaviours, type Report } from "./behaviours.ts";
import { prepareStage } from "./stage.ts";
import { starters } from "./starters.ts";

let stage = "";
const reports = new Map<string, Report | string>();
const hash = ({ tokens }: Report) =>
	createHash("sha256").update(JSON.stringify(tokens)).digest("hex").slice(0, 8);

beforeAll(() => {
	stage = prepareStage();
}, 120_000);

for (const { name, missing, start } of starters) {
	const reason = missing?.();
	if (reason) {
		console.warn(`skipped: ${name}: ${reason}`);
		reports.set(name, `not here: ${reason}`);
	}
	describe.skipIf(reason !== undefined)(name, () => {
		let report: Report;
		beforeAll(async () => {
			try {
				report = await start(stage);
				reports.set(name, report);
			} catch (error) {
				reports.set(name, String(error));
				throw error;
			}
		}, 300_000);

		test.each(behaviours)("%s", (behaviour) => {
			expect(report.failures[behaviour]).toBe(null);
		});

		test("gives the same tokens as all others", () => {
			const first = [...reports.values()].find((r) => typeof r !== "string");
			expect(report.tokens).toEqual((first as Report).tokens);
		});
	});
}

afterAll(() => {
	const columns = ["threads", "kernels", "tokens", ...behaviours];
	const rows = [...reports].map(([name, report]) => {
		if (typeof report === "string") return [name, report];
		const { threads, kernels, failures } = report;
		const marks = behaviours.map((b) =>
			failures[b] === null ? "ok" : "FAILED",
		);
		return [name, `${threads}`, kernels, hash(report), ...marks];
	});
	const table = [
		["runtime", ...columns],
		columns.map(() => "---").concat("---"),
		...rows,
	];
	console.log(table.map((row) => `| ${row.join(" | ")} |`).join("\n"));
	for (const [name, report] of reports)
		if (typeof report !== "string" && report.threadLimit)
			console.log(`${name}: one thread, because ${report.threadLimit}`);
});
