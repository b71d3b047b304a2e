import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { sha1, sha256 } from "../src/sources/sha.ts";

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919) >> 3);

test.each([
	["sha1", sha1],
	["sha256", sha256],
] as const)("%s equals node:crypto for every length and cut", (name, make) => {
	for (let length = 0; length <= 200; length++) {
		const expected = createHash(name).update(bytes.subarray(0, length));
		const hasher = make();
		const cut = (length * 31) % (length + 1);
		hasher.update(bytes.subarray(0, cut));
		hasher.update(bytes.subarray(cut, length));
		expect(hasher.digest()).toBe(expected.digest("hex"));
	}
	const hasher = make();
	for (let at = 0; at < bytes.length; at += 67)
		hasher.update(bytes.subarray(at, at + 67));
	const expected = createHash(name).update(bytes).digest("hex");
	expect(hasher.digest()).toBe(expected);
});
