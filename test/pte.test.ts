import { expect, test } from "vitest";
import {
	CheckpointError,
	NibbleError,
	SourceError,
	UnsupportedError,
} from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import {
	type Extent,
	isPte,
	type PtePlan,
	type PteTensor,
	readPte,
} from "../src/formats/pte.ts";
import type { XnnpackTensor } from "../src/formats/pte-xnnpack.ts";
import { planModel } from "../src/plan.ts";
import { bf16, widen } from "../src/quant/floats.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { bytesSource } from "../src/sources/bytes.ts";
import { fixture, fixtureJson, fixtureSource } from "./fixture.ts";
import { generator, mutate } from "./mutate.ts";
import { printCount } from "./survive.ts";
import { type WriteConstant, writePte } from "./write-pte.ts";
import type { WriteXnnpackValue } from "./write-xnnpack.ts";

const path = "pte/synthetic_qb4w.pte";
const golden = fixtureJson("pte/synthetic_qb4w.json");

test("a program's plans, delegates and weights", async () => {
	const source = fixtureSource(path);
	expect(isPte(await source.read(0, 16))).toBe(true);
	const { program: pte } = await readPte(source);
	expect(pte).toMatchObject({
		version: 0,
		bytes: 2448,
		metadata: { get_max_seq_len: 2048 },
	});
	expect(pte.plans.map((plan) => plan.name)).toEqual(["forward"]);
	const [{ inputs, outputs, tensors, delegates }] = pte.plans as [PtePlan];
	expect(inputs.map((t) => [t.type, t.shape])).toEqual([["F32", [1, 64]]]);
	expect(outputs.map((t) => [t.type, t.shape])).toEqual([["F32", [1, 4]]]);
	const [embedding] = tensors.filter((t) => t.constant) as [PteTensor];
	expect(embedding).toMatchObject({
		name: "model.embed_tokens.weight",
		type: "I8",
		shape: [6, 8],
	});
	expect([...new Int8Array((await read(embedding.constant)).buffer)]).toEqual(
		golden.embedding_q,
	);

	expect(delegates.map((d) => [d.id, d.xnnpack?.nodes])).toEqual([
		["XnnpackBackend", 2],
	]);
	const linear = delegates[0]?.xnnpack?.linears[0] as XnnpackTensor;
	expect(linear).toMatchObject({
		shape: golden.shape,
		type: "qbint4",
		groupSize: 32,
		key: golden.weight_key,
	});
	const codes = Uint8Array.from(
		{ length: 128 },
		(_, i) => (golden.q[2 * i] + 8) | ((golden.q[2 * i + 1] + 8) << 4),
	);
	expect(await read(linear.weights)).toEqual(codes);
	const scales = widen("BF16", await read(linear.scales));
	expect([...scales]).toEqual(golden.scale_bf16_as_f32);

	async function read(extent: Extent | undefined): Promise<Uint8Array> {
		if (extent === undefined) throw new Error("no data");
		return source.read(extent.offset, extent.bytes);
	}
});

/** Values of all tensors of a program by name, and what they are stored as. */
async function valuesOf(
	bytes: Uint8Array,
): Promise<Record<string, [scheme: string, values: number[]]>> {
	const checkpoint = await openCheckpoint(bytesSource(bytes, "made.pte"));
	const read: Record<string, [string, number[]]> = {};
	for (const name of matrixNames(checkpoint)) {
		const matrix = (await findMatrix(checkpoint, name))!;
		const values = await matrix.decode(0, matrix.rows);
		read[name] = [matrix.scheme, [...values]];
	}
	return read;
}

const f32 = (...values: number[]) =>
	new Uint8Array(Float32Array.from(values).buffer);
const bytesOf = (
	values: Int16Array | Int32Array | BigInt64Array | Uint16Array,
) => new Uint8Array(values.buffer);

test("the golden program's weights are codes times scales", async () => {
	const values = await valuesOf(fixture(path));
	const scales: number[] = golden.scale_bf16_as_f32;
	expect(values).toEqual({
		"model.embed_tokens.weight": ["I8", golden.embedding_q],
		[golden.weight_key]: [
			"XNNPACK int4 g32",
			golden.q.map((q: number, i: number) =>
				Math.fround(q * scales[Math.floor(i / 32)]!),
			),
		],
	});
});

test("every kind of constant is read", async () => {
	const constants: WriteConstant[] = [
		{ scalarType: 11, shape: [3], data: Uint8Array.of(1, 0, 1) },
		{ scalarType: 0, shape: [2], data: Uint8Array.of(200, 7) },
		{ scalarType: 2, shape: [1, 2], data: bytesOf(Int16Array.of(-300, 9)) },
		{ scalarType: 3, shape: [], data: bytesOf(Int32Array.of(-7)) },
		{ scalarType: 4, shape: [2], data: bytesOf(BigInt64Array.of(-1n, 5n)) },
		{ scalarType: 6, shape: [2], data: f32(0.1, -2), name: "norm" },
		// A name that is taken does not hide another tensor.
		{
			scalarType: 15,
			shape: [1],
			data: Uint8Array.of(0x80, 0x3f),
			name: "norm",
		},
	];
	const weights: WriteXnnpackValue[] = [
		{
			datatype: 10,
			shape: [2, 4],
			// Rows 1 −8 | 7 0 and −1 2 | 3 −4
			data: Uint8Array.of(0x09, 0x8f, 0xa7, 0x4b),
			groupSize: 2,
			scales: bytesOf(Uint16Array.of(0x3f80, 0x4000, 0xbf00, 0x3e80)),
		},
		{
			datatype: 8,
			shape: [2, 2],
			data: Uint8Array.of(0xf8, 0x08),
			scales: f32(0.3, 3),
		},
		{
			datatype: 6,
			shape: [2, 3],
			data: Uint8Array.of(127, 128, 0, 1, 2, 255),
			scales: f32(0.25, -10),
			inGraph: true,
		},
		{ datatype: 1, shape: [3], data: f32(1, 2, 3) },
	];
	expect(bf16(0xbf00)).toBe(-0.5);
	expect(await valuesOf(writePte(constants, weights))).toEqual({
		"forward.0": ["BOOL", [1, 0, 1]],
		"forward.1": ["U8", [200, 7]],
		"forward.2": ["I16", [-300, 9]],
		"forward.3": ["I32", [-7]],
		"forward.4": ["I64", [-1, 5]],
		norm: ["F32", [Math.fround(0.1), -2]],
		"forward.6": ["BF16", [1]],
		"forward.XnnpackBackend.0.0": [
			"XNNPACK int4 g2",
			[1, -8, 14, 0, 0.5, -1, 0.75, -1],
		],
		"forward.XnnpackBackend.0.1": [
			"XNNPACK int4 per row",
			[0, Math.fround(7 * Math.fround(0.3)), 0, -24],
		],
		"forward.XnnpackBackend.0.2": [
			"XNNPACK int8 per row",
			[31.75, -32, 0, -10, -20, 10],
		],
		"forward.XnnpackBackend.0.3": ["F32", [1, 2, 3]],
	});
});

test("what cannot be read is said", async () => {
	const permuted: WriteConstant = {
		scalarType: 6,
		shape: [2, 2],
		dimOrder: [1, 0],
		data: f32(1, 2, 3, 4),
	};
	await expect(valuesOf(writePte([permuted]))).rejects.toThrow(
		"made.pte: forward.0 is stored as F32 in dimension order 1,0 [2,2], which no scheme reads",
	);
	const unknown = { ...permuted, scalarType: 20 };
	await expect(valuesOf(writePte([unknown]))).rejects.toThrow(UnsupportedError);
	const short = { ...permuted, shape: [9], dimOrder: [0] };
	await expect(valuesOf(writePte([short]))).rejects.toThrow(
		"made.pte: forward.0 is F32 [9], which takes 36 bytes, but it has 16",
	);
	const negative = { ...short, shape: [-1] };
	await expect(valuesOf(writePte([negative]))).rejects.toThrow(CheckpointError);
	const odd: WriteXnnpackValue = {
		datatype: 10,
		shape: [1, 6],
		groupSize: 4,
		data: Uint8Array.of(1, 2, 3),
		scales: Uint8Array.of(0x80, 0x3f, 0x80, 0x3f),
	};
	await expect(valuesOf(writePte([], [odd]))).rejects.toThrow(
		"has a scale per 4 columns, which do not divide 6",
	);
	const infinite = { ...odd, groupSize: 6, scales: Uint8Array.of(0x80, 0x7f) };
	await expect(valuesOf(writePte([], [infinite]))).rejects.toThrow(
		"Infinity, expected a finite scale",
	);
});

test("no model is loaded from it, and it is said what is missing", async () => {
	const refusal = async (bytes: Uint8Array) =>
		planModel(await openCheckpoint(bytesSource(bytes, "made.pte"))).catch(
			(error) => error,
		);
	const error = await refusal(fixture(path));
	expect(error).toBeInstanceOf(UnsupportedError);
	expect(error.message).toMatch(
		/^made.pte: an ExecuTorch program, in which weights have no names .*config\.json.*; load the checkpoint that it was exported from/,
	);
	expect((await refusal(writePte([], [], "CoreMLBackend"))).message).toContain(
		"CoreMLBackend keeps weights in a form of its own",
	);
});

test("damaged programs end in typed errors", async () => {
	const ROUNDS = 3000;
	const random = generator(0x5eed);
	const bytes = fixture(path);
	let opened = 0;
	for (let round = 0; round < ROUNDS; round++) {
		const mutant = mutate(bytes.slice(), bytes.length, random);
		try {
			const start = performance.now();
			await readPte(bytesSource(mutant));
			expect(performance.now() - start).toBeLessThan(1000);
			opened++;
			await valuesOf(mutant);
		} catch (error) {
			expect(error, `round ${round}`).toBeInstanceOf(NibbleError);
			expect(error, `round ${round}`).not.toBeInstanceOf(SourceError);
		}
	}
	expect(opened).toBeGreaterThan(ROUNDS / 100);
	expect(opened).toBeLessThan(0.9 * ROUNDS);
	printCount("ExecuTorch programs", ROUNDS, opened);
});
