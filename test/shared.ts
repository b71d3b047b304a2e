import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type TestFunction, test } from "vitest";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import type { ByteSource, Repository } from "../src/sources/source.ts";

/**
 * Models and tokenizers that others made and this repository may not hold. They lie beside a checkout where someone put
 * them; elsewhere the tests that need them are skipped, and say so.
 */
const folder = new URL("../../shared/", import.meta.url);

const at = (path: string) => new URL(path, folder);

/** Which of the files and folders ../shared/<path> are missing, as a reason to skip; empty if all are there. Prints the reason. */
export function missingShared(...paths: string[]): string {
	const missing = paths.filter((path) => !existsSync(at(path)));
	if (missing.length === 0) return "";
	const reason = `../shared lacks ${missing.join(", ")}`;
	console.warn(`skipped: ${reason}`);
	return reason;
}

/** A test that needs the file or folder ../shared/<path>. */
export function testWith(path: string, name: string, run: TestFunction): void {
	test.skipIf(missingShared(path))(name, run);
}

/** Bytes of ../shared/<path>. */
export function sharedBytes(path: string): Uint8Array {
	return new Uint8Array(readFileSync(at(path)));
}

export function sharedText(path: string): string {
	return readFileSync(at(path), "utf8");
}

// biome-ignore lint/suspicious/noExplicitAny: others' files differ in shape, and a wrong guess fails the test that made it
export function sharedJson(path: string): any {
	return JSON.parse(sharedText(path));
}

/** ../shared/<path> as a source. */
export function sharedSource(path: string): ByteSource {
	return bytesSource(sharedBytes(path), path);
}

/** The files of the folder ../shared/<path> as a repository. */
export function sharedRepository(path: string): Repository {
	const files = readdirSync(at(path)).map((file) => [
		file,
		sharedBytes(`${path}/${file}`),
	]);
	return bytesRepository(Object.fromEntries(files), path);
}
