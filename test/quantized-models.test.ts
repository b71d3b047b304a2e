import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/formats/open.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import { fixtureJson } from "./fixture.ts";
import {
	type NanoSchemeName,
	nanoBitsandbytes,
	nanoCompressedTensors,
	nanoSchemes,
	nanoTorchao,
	nanoTorchaoSafetensors,
	quantizeNano,
	type StoredAs,
} from "./quantized-nano.ts";
import { bf16 } from "./quantizers.ts";
import { NF4 } from "./quantizers-bitsandbytes.ts";

const names = Object.keys(nanoSchemes) as NanoSchemeName[];
const sha256 = (data: NodeJS.ArrayBufferView) =>
	createHash("sha256").update(data).digest("hex");

/** Index of the first element in which two arrays differ, −1 where none does: expect() compares large ones slowly. */
function difference(a: Float32Array, b: Float32Array): number {
	if (a.length !== b.length) return Math.min(a.length, b.length);
	for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return i;
	return -1;
}

/** Hashes of codes and scales that the libraries' formulas gave in PyTorch. */
const golden: Record<
	string,
	Record<
		string,
		{ q_sha256: string; scale_sha256: string; scale_first: number[] }
	>
> = fixtureJson("quantized-nano.json");

describe.each(names)("the quantizer of %s", (name) => {
	test("gives the reference's codes and scales", async () => {
		const { quantized } = await quantizeNano(name);
		const want = golden[name]!;
		expect([...quantized.keys()].sort()).toEqual(Object.keys(want).sort());
		for (const [key, { codes, scales }] of quantized) {
			const { q_sha256, scale_sha256, scale_first } = want[key]!;
			expect(sha256(codes), key).toBe(q_sha256);
			if (name.startsWith("hqq")) {
				// least squares: PyTorch adds up in another order
				for (const [i, scale] of scale_first.entries()) {
					expect(Math.abs(scales[i]! / scale - 1)).toBeLessThan(1e-6);
				}
			} else expect(sha256(scales), key).toBe(scale_sha256);
		}
	});
});

describe("a whole model", () => {
	const plainProduct = (code: number, scale: number) =>
		Math.fround(code * scale);
	const bf16Product = (code: number, scale: number) => bf16(code * scale);
	const nf4Product = (code: number, scale: number) =>
		Math.fround(NF4[code]! * scale);
	const nf4Rounded = (code: number, scale: number) =>
		bf16(nf4Product(code, scale));

	const torchaoNames = names.filter((name) => !/ct|nf4/.test(name));
	const cases: [
		string,
		NanoSchemeName,
		() => Promise<Record<string, Uint8Array>>,
		(code: number, scale: number) => number,
	][] = [
		...torchaoNames.flatMap((name) =>
			(["v1", "v2"] as const).map((generation): (typeof cases)[number] => [
				`${name}.bin, ${generation}`,
				name,
				() => nanoTorchao(name, generation),
				plainProduct,
			]),
		),
		...torchaoNames.flatMap((name) =>
			(["0.14", "0.15"] as const).map((naming): (typeof cases)[number] => [
				`${name}.safetensors, ${naming}`,
				name,
				() => nanoTorchaoSafetensors(name, naming),
				plainProduct,
			]),
		),
		[
			"W4A16",
			"w4a16_ct_g128",
			() => nanoCompressedTensors("w4a16_ct_g128"),
			bf16Product,
		],
		[
			"W8A16",
			"w8a16_ct_channel",
			() => nanoCompressedTensors("w8a16_ct_channel"),
			bf16Product,
		],
		[
			"nf4 of f32",
			"nf4",
			() => nanoBitsandbytes({ dtype: "float32" }),
			nf4Product,
		],
		["nf4 of bf16", "nf4", () => nanoBitsandbytes(), nf4Rounded],
	];

	test.each(cases)(
		"%s decodes to code times scale",
		async (_, name, files, product) => {
			const { quantized, plain } = await quantizeNano(name);
			const checkpoint = await openCheckpoint(bytesRepository(await files()));
			expect(matrixNames(checkpoint).sort()).toEqual(
				[...quantized.keys(), ...plain.keys()].sort(),
			);
			for (const [key, { values }] of plain) {
				const found = await findMatrix(checkpoint, key);
				expect(
					difference(await found!.decode(0, found!.rows), values),
					key,
				).toBe(-1);
			}
			for (const [key, stored] of quantized) {
				const found = await findMatrix(checkpoint, key);
				expect(found?.block).toBe(stored.block);
				const form = stored.dynamic ? "token-asymmetric" : "f32";
				expect(found?.activation).toBe(form);
				const decoded = await found!.decode(0, stored.shape[0]);
				const want = expected(stored, product);
				expect(difference(decoded, want), key).toBe(-1);
			}
		},
	);

	function expected(
		{ codes, scales, block }: StoredAs,
		product: (code: number, scale: number) => number,
	): Float32Array {
		const values = new Float32Array(codes.length);
		for (let i = 0; i < values.length; i++) {
			values[i] = product(codes[i]!, scales[Math.floor(i / block)]!);
		}
		return values;
	}
});
