import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HubServer } from "../hub-server.ts";
import { serveNano } from "../nano-hub.ts";
import { behaviours, type TokenKind } from "./behaviours.ts";
import { addBehaviours } from "./entries.ts";
import { missingProc } from "./processes.ts";
import { prepareStage } from "./stage.ts";
import { type Outcome, starters } from "./starters.ts";

/** Between the two marks of a runtime 60 models come and go, of 12 MB or more. Garbage that is not collected yet is less. */
const SLACK_BYTES = 200e6;
/** Engines start and end threads of their own. */
const SLACK_THREADS = 8;

let stage = "";
let hub: HubServer;
const outcomes = new Map<string, Outcome | string>();
const KINDS: readonly TokenKind[] = ["greedy", "sampled", "seen"];
const hash = (tokens: unknown) =>
	createHash("sha256").update(JSON.stringify(tokens)).digest("hex").slice(0, 8);

/** What more residents and threads there are at the second mark than at the first. */
function growth({ marks }: Outcome) {
	const [early, late] = marks;
	return {
		bytes: late!.residentBytes - early!.residentBytes,
		threads: late!.threads - early!.threads,
	};
}

beforeAll(async () => {
	stage = prepareStage();
	hub = await serveNano();
	addBehaviours(stage, hub.url);
}, 120_000);

for (const { name, missing, forgets, start } of starters) {
	const reason = missing?.();
	if (reason) {
		console.warn(`skipped: ${name}: ${reason}`);
		outcomes.set(name, `not here: ${reason}`);
	}
	describe.skipIf(reason !== undefined)(name, () => {
		let outcome: Outcome;
		beforeAll(async () => {
			try {
				outcome = await start(stage);
				outcomes.set(name, outcome);
			} catch (error) {
				outcomes.set(name, String(error));
				throw error;
			}
		}, 330_000);

		test.each(behaviours)("%s", (behaviour) => {
			expect(outcome.failures[behaviour]).toBe(null);
		});

		test("gives the same tokens as all others", () => {
			const first = [...outcomes.values()].find((o) => typeof o !== "string");
			expect(outcome.tokens).toEqual((first as Outcome).tokens);
		});

		test("keeps files of the Hub, or says that it does not", () => {
			expect(outcome.keepsFiles).toBe(!forgets);
		});

		test("leaves nothing unhandled", () => {
			expect(outcome.unhandled).toEqual([]);
		});

		test.skipIf(missingProc)("leaves no memory and no threads behind", () => {
			const { bytes, threads } = growth(outcome);
			expect(bytes).toBeLessThan(SLACK_BYTES);
			expect(threads).toBeLessThan(SLACK_THREADS);
		});
	});
}

afterAll(async () => {
	await hub?.close();
	const columns = [
		"threads",
		"kernels",
		...KINDS,
		...behaviours,
		"keeps files",
		"unhandled",
		"memory",
		"threads left",
	];
	const rows = [...outcomes].map(([name, outcome]) => {
		if (typeof outcome === "string") return [name, outcome];
		const { threads, kernels, failures, tokens, keepsFiles } = outcome;
		const left = missingProc ? undefined : growth(outcome);
		return [
			name,
			`${threads}`,
			kernels,
			...KINDS.map((kind) => hash(tokens[kind])),
			...behaviours.map((b) => (failures[b] === null ? "ok" : "FAILED")),
			keepsFiles ? "yes" : "no",
			`${outcome.unhandled.length}`,
			left ? `${(left.bytes / 1e6).toFixed(0)} MB` : "not known",
			left ? `${left.threads}` : "not known",
		];
	});
	const table = [
		["runtime", ...columns],
		columns.map(() => "---").concat("---"),
		...rows,
	];
	console.log(table.map((row) => `| ${row.join(" | ")} |`).join("\n"));
	for (const [name, outcome] of outcomes)
		if (typeof outcome !== "string" && outcome.threadLimit)
			console.log(`${name}: one thread, because ${outcome.threadLimit}`);
});
