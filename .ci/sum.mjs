// node .ci/sum.mjs FOLDER: adds up the test reports NAME.json and exit codes NAME.rc of .ci/run's steps. Prints what
// was skipped, what failed, and as the last line "N passed, N failed[, N skipped]". Exits with 1 if anything failed.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [, , folder] = process.argv;
const sums = { passed: 0, failed: 0, skipped: 0 };
const skipped = new Set();

for (const file of readdirSync(folder).filter((name) => name.endsWith(".rc"))) {
	const step = file.slice(0, -".rc".length);
	const exitCode = Number(readFileSync(join(folder, file), "utf8"));
	const report = join(folder, `${step}.json`);
	let failed = 0;
	if (existsSync(report)) {
		const { testResults } = JSON.parse(readFileSync(report, "utf8"));
		for (const { name, status, assertionResults } of testResults) {
			const before = failed;
			for (const test of assertionResults) {
				if (test.status === "passed") sums.passed++;
				else if (test.status === "failed") {
					failed++;
					console.log(`failed: ${step}: ${test.fullName}`);
				} else {
					sums.skipped++;
					skipped.add(test.fullName);
				}
			}
			// A file that could not be run has no failed test, but is a failure.
			if (status === "failed" && failed === before) {
				failed++;
				console.log(`failed: ${step}: ${name}`);
			}
		}
	}
	// So is a step that failed before or after its tests, or has none.
	if (exitCode !== 0 && failed === 0) {
		failed = 1;
		console.log(`failed: ${step}, exit code ${exitCode}`);
	}
	sums.failed += failed;
}

for (const name of skipped) console.log(`skipped: ${name}`);
const { passed, failed, skipped: left } = sums;
console.log(
	`${passed} passed, ${failed} failed${left > 0 ? `, ${left} skipped` : ""}`,
);
process.exitCode = failed > 0 ? 1 : 0;
