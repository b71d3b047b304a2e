import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type TestFunction, test } from "vitest";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import type { ByteSource, Repository } from "../src/sources/source.ts";

/**
 * Models that others made and this repository may not hold. They lie beside a checkout where someone put them;
 * elsewhere the tests that need them are skipped, and say so.
 */
const folder = new URL("../../shared/", import.meta.url);

const at = (path: string) => new URL(path, folder);

/** A test that needs the file or folder ../shared/<path>. */
export function testWith(path: string, name: string, run: TestFunction): void {
	if (existsSync(at(path))) test(name, run);
	else {
		console.warn(`skipped: ${name} (../shared/${path} is absent)`);
		test.skip(name, run);
	}
}

/** Bytes of ../shared/<path>. */
export function sharedBytes(path: string): Uint8Array {
	return new Uint8Array(readFileSync(at(path)));
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
