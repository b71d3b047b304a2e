import { existsSync, readFileSync } from "node:fs";

/** Other people's files, which tests may use but the repository does not hold. */
const folder = new URL("../../shared/data/", import.meta.url);

/** Which of these files are missing, as a reason to skip; empty if all are there. Prints the reason. */
export function missingData(...paths: string[]): string {
	const missing = paths.filter((path) => !existsSync(new URL(path, folder)));
	if (missing.length === 0) return "";
	const reason = `../shared/data lacks ${missing.join(", ")}`;
	console.warn(`skipped: ${reason}`);
	return reason;
}

/** Bytes of ../shared/data/<path>. */
export function sharedBytes(path: string): Uint8Array {
	return new Uint8Array(readFileSync(new URL(path, folder)));
}

export function sharedText(path: string): string {
	return readFileSync(new URL(path, folder), "utf8");
}

// biome-ignore lint/suspicious/noExplicitAny: others' files differ in shape, and a wrong guess fails the test that made it
export function sharedJson(path: string): any {
	return JSON.parse(sharedText(path));
}
