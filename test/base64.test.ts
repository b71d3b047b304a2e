import { afterEach, expect, test, vi } from "vitest";
import { fromBase64 } from "../src/runtime/base64.ts";

const samples = [0, 1, 2, 3, 4, 1000, 100_000].map((length) =>
	Uint8Array.from({ length }, (_, i) => (i * 167 + length) % 256),
);
const encoded = samples.map((bytes) => Buffer.from(bytes).toString("base64"));

afterEach(() => vi.unstubAllGlobals());

test.each(["Buffer", "atob"])("decodes by %s where that is there", (name) => {
	const other = vi.fn(() => expect.unreachable());
	if (name === "atob") vi.stubGlobal("Buffer", undefined);
	else vi.stubGlobal("atob", other);
	for (const [i, text] of encoded.entries()) {
		const bytes = fromBase64(text);
		expect(Array.from(bytes)).toEqual(Array.from(samples[i]!));
		expect(bytes.buffer.byteLength).toBe(bytes.length);
	}
});
