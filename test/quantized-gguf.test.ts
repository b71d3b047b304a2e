import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/formats/open.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { bytesSource } from "../src/sources/bytes.ts";
import { checkpointWith, fixture, fixtureNpy, storedBytes } from "./fixture.ts";
import { nanoWeights } from "./quantized-nano.ts";
import { nanoGguf } from "./quantized-nano-gguf.ts";
import { ggmlQuantizers, quantizeGgml } from "./quantizers-ggml.ts";
import { sharedSource, testWith } from "./shared.ts";

const types = Object.keys(ggmlQuantizers);

test.each(types)("%s blocks of the tests are ggml's, byte for byte", (type) => {
	const own = quantizeGgml(type, fixtureNpy("ggml/input.npy"));
	expect(Buffer.compare(own, fixture(`ggml/${type}.bin`))).toBe(0);
});

describe("the embedded model as GGUF", () => {
	test.each([...types, "F32", "F16", "BF16"])("%s", async (type) => {
		const which = /layers\.0\.self_attn/;
		const bytes = await nanoGguf(type, which);
		const source = bytesSource(bytes, `nano-${type}.gguf`);
		const checkpoint = await openCheckpoint(source);
		const weights = await nanoWeights();
		expect(matrixNames(checkpoint).sort()).toEqual([...weights.keys()].sort());
		for (const [name, { shape, values }] of weights) {
			const found = await findMatrix(checkpoint, name);
			const decoded = await found!.decode(0, found!.rows);
			if (!which.test(name) || type === "F32" || type === "BF16") {
				expect(difference(decoded, values), name).toBe(-1);
				continue;
			}
			expect(found?.scheme).toBe(type);
			if (type === "F16") continue;
			// rows are quantized one by one, so the order they were stored in does not show
			const stored = storedBytes(name, type, shape, quantizeGgml(type, values));
			const direct = await findMatrix(checkpointWith([stored]), name);
			const want = await direct!.decode(0, direct!.rows);
			expect(difference(decoded, want), name).toBe(-1);
		}
	});

	// llama-quantize made these of the F16 file; the error of a type is a fraction of the weights' size.
	testWith("models/nano-smollm3-gguf", "llama.cpp's files", async () => {
		const open = (kind: string) =>
			openCheckpoint(
				sharedSource(`models/nano-smollm3-gguf/nano-smollm3-${kind}.gguf`),
			);
		const exact = await open("F16");
		for (const [kind, most] of [
			["Q8_0", 0.01],
			["Q4_K_M", 0.09],
			["Q4_0", 0.12],
		] as const) {
			const checkpoint = await open(kind);
			for (const name of matrixNames(exact)) {
				const want = await findMatrix(exact, name);
				const found = await findMatrix(checkpoint, name);
				const a = await want!.decode(0, want!.rows);
				const b = await found!.decode(0, found!.rows);
				let error = 0;
				let size = 0;
				for (let i = 0; i < a.length; i++) {
					error += (a[i]! - b[i]!) ** 2;
					size += a[i]! ** 2;
				}
				const relative = Math.sqrt(error / size);
				expect(relative, `${kind} ${name}`).toBeLessThan(most);
			}
		}
	});
});

/** Index of the first element in which two arrays differ, −1 where none does. */
function difference(a: Float32Array, b: Float32Array): number {
	if (a.length !== b.length) return Math.min(a.length, b.length);
	for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return i;
	return -1;
}
