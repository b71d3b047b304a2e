import { expect, test } from "vitest";
import { NibbleError, SourceError, UnsupportedError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import {
	type Extent,
	isPte,
	type PtePlan,
	type PteTensor,
	readPte,
} from "../src/formats/pte.ts";
import type { XnnpackLinear } from "../src/formats/pte-xnnpack.ts";
import { widen } from "../src/quant/floats.ts";
import { pack } from "../src/quant/packed-codes.ts";
import { bytesSource } from "../src/sources/bytes.ts";
import { fixture, fixtureJson, fixtureSource } from "./fixture.ts";
import { generator, mutate } from "./mutate.ts";

const path = "pte/synthetic_qb4w.pte";
const golden = fixtureJson("pte/synthetic_qb4w.json");

test("a program's plans, delegates and weights", async () => {
	const source = fixtureSource(path);
	expect(isPte(await source.read(0, 16))).toBe(true);
	const pte = await readPte(source);
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
	const linear = delegates[0]?.xnnpack?.linears[0] as XnnpackLinear;
	expect(linear).toMatchObject({
		shape: golden.shape,
		type: "qbint4",
		groupSize: 32,
		key: golden.weight_key,
	});
	const codes = new Uint8Array(128);
	pack({ bits: 4, dense: true }, golden.q, codes);
	expect(await read(linear.weights)).toEqual(codes);
	const scales = widen("BF16", await read(linear.scales));
	expect([...scales]).toEqual(golden.scale_bf16_as_f32);

	async function read(extent: Extent | undefined): Promise<Uint8Array> {
		if (extent === undefined) throw new Error("no data");
		return source.read(extent.offset, extent.bytes);
	}
});

test("it is refused as a checkpoint, with a way out", async () => {
	const error = await openCheckpoint(fixtureSource(path)).catch((e) => e);
	expect(error).toBeInstanceOf(UnsupportedError);
	expect(error.message).toMatch(
		/load the checkpoint that it was exported from/,
	);
});

test("damaged programs end in typed errors", async () => {
	const random = generator(0x5eed);
	const bytes = fixture(path);
	let opened = 0;
	for (let round = 0; round < 4000; round++) {
		const mutant = mutate(bytes.slice(), bytes.length, random);
		try {
			const start = performance.now();
			await readPte(bytesSource(mutant));
			expect(performance.now() - start).toBeLessThan(1000);
			opened++;
		} catch (error) {
			expect(error, `round ${round}`).toBeInstanceOf(NibbleError);
			expect(error, `round ${round}`).not.toBeInstanceOf(SourceError);
		}
	}
	expect(opened).toBeGreaterThan(40);
	expect(opened).toBeLessThan(3600);
});
