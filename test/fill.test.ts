import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import {
	BATCH_BYTES,
	cutBatches,
	isVector,
	packingProgram,
} from "../src/batches.ts";
import * as simd from "../src/embedded/simd.js";
import { compileKernels } from "../src/engine/kernels.ts";
import { Memory } from "../src/engine/memory.ts";
import { createPool, type Pool, type Thread } from "../src/engine/pool.ts";
import { EngineError, SourceError, UnsupportedError } from "../src/errors.ts";
import { fillWeights } from "../src/fill.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { load } from "../src/load.ts";
import { planModel } from "../src/plan.ts";
import { fromBase64 } from "../src/runtime/base64.ts";
import { openPath } from "../src/runtime/files.ts";
import { spawn } from "../src/runtime/threads.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import type { Repository } from "../src/sources/source.ts";
import { assignBanks, type PlannedWeight } from "../src/weights.ts";
import { nanoGguf } from "./quantized-nano-gguf.ts";
import { simd as build, call, grow } from "./reference/builds.ts";
import { writeSafetensors } from "./write-safetensors.ts";

const D = 256;
const F = 4112;
const V = 20_011;
const config = {
	architectures: ["LlamaForCausalLM"],
	hidden_size: D,
	intermediate_size: F,
	num_hidden_layers: 1,
	num_attention_heads: 4,
	num_key_value_heads: 4,
	vocab_size: V,
	max_position_embeddings: 64,
	rms_norm_eps: 1e-5,
	tie_word_embeddings: true,
};
const layer = "model.layers.0.";
const matrices: readonly [name: string, rows: number, cols: number][] = [
	["model.embed_tokens.weight", V, D],
	...["q", "k", "v", "o"].map(
		(w) => [`${layer}self_attn.${w}_proj.weight`, D, D] as [string, 256, 256],
	),
	[`${layer}mlp.gate_proj.weight`, F, D],
	[`${layer}mlp.up_proj.weight`, F, D],
	[`${layer}mlp.down_proj.weight`, D, F],
];
const vectors = ["input_layernorm", "post_attention_layernorm"].map(
	(norm) => `${layer}${norm}.weight`,
);

/** Floats of about 0.01, different everywhere. */
function numbers(count: number, seed: number): Uint8Array {
	const values = Float32Array.from({ length: count }, (_, i) =>
		Math.fround(Math.sin(seed + i) / 100),
	);
	return new Uint8Array(values.buffer);
}

/** A model of several batches: its embedding alone takes three. */
const files = {
	"config.json": new TextEncoder().encode(JSON.stringify(config)),
	"model.safetensors": writeSafetensors(
		Object.fromEntries([
			...matrices.map(([name, rows, cols], i) => [
				name,
				{ dtype: "F32", shape: [rows, cols], data: numbers(rows * cols, i) },
			]),
			...[...vectors, "model.norm.weight"].map((name) => [
				name,
				{ dtype: "F32", shape: [D], data: numbers(D, 0.5) },
			]),
		]),
	),
};

const kernels = async (_: unknown, shared: boolean) =>
	compileKernels(fromBase64(simd.base64), shared);

describe("weights in memory", () => {
	const planOf = async () => {
		const checkpoint = await openCheckpoint(bytesRepository(files));
		return (await planModel(checkpoint)).weights;
	};

	it.each([
		[1, 1],
		[2, 1],
		[3, 2],
	])(
		"are those of matrices packed whole: %d threads, %d banks",
		async (threads, banks) => {
			const planned = await planOf();
			assignBanks(planned, banks);
			const shared = threads > 1;
			const memories = Array.from({ length: banks }, () => new Memory(shared));
			const pool = await createPool(
				{
					modules: [await kernels("simd", shared)],
					memories: memories.map((m) => m.memory),
				},
				threads,
				spawn,
			);
			expect(pool.parts).toBe(threads);
			let total = 0;
			await fillWeights(planned, memories, pool, {
				onBytes: (bytes) => {
					total += bytes;
				},
			});
			await pool.stop();
			expect(total).toBe(planned.reduce((sum, p) => sum + p.matrix.bytes, 0));
			for (const { weight, matrix, bytes } of planned) {
				const memory = memories[weight.bank]!;
				const stored = await matrix.planes[0]!.read(0, matrix.rows);
				const packed = memory.bytes(weight.address, bytes);
				const expected =
					weight.shape.length === 1 ? stored : whole(stored, matrix);
				expect(Buffer.compare(packed, expected), weight.name).toBe(0);
			}
		},
	);

	/** An f32 matrix packed by one call. */
	function whole(
		stored: Uint8Array,
		{ rows: n, cols: k }: { rows: number; cols: number },
	) {
		const src = 4096;
		const dst = src + stored.length;
		const bytes = 4 * Math.ceil(n / 16) * 16 * k;
		grow(build!, dst + bytes);
		new Uint8Array(build!.memory.buffer).set(stored, src);
		call(build!, "pack_f32w_f32", { dst, src, n, k }, [[0, n]]);
		return new Uint8Array(build!.memory.buffer, dst, bytes);
	}
});

describe("batches", () => {
	const plane = (rowBytes: number) => ({ name: "p", type: "U8", rowBytes });
	const weight = ([rows, rowBytes]: readonly [number, readonly number[]]) =>
		({
			weight: {
				name: "w",
				shape: [rows, 1],
				bank: 0,
				address: 0,
				layout: "f32w",
			},
			matrix: { name: "w", rows, cols: 1, planes: rowBytes.map(plane) },
		}) as unknown as PlannedWeight;

	it("hold every row once, in whole tiles, and never overlap or overflow", () => {
		const rowBytes = fc.integer({ min: 1, max: BATCH_BYTES / 64 });
		const sizes = fc.tuple(
			fc.integer({ min: 1, max: 1000 }),
			fc.array(rowBytes, { minLength: 1, maxLength: 3 }),
		);
		fc.assert(
			fc.property(fc.array(sizes, { maxLength: 8 }), (all) => {
				const planned = all.map(weight);
				const batches = cutBatches(planned);
				for (const batch of batches) {
					let end = 0;
					for (const { of, lo, hi, offsets } of batch.pieces)
						for (const [i, { rowBytes }] of of.matrix.planes.entries()) {
							expect(offsets[i]).toBeGreaterThanOrEqual(end);
							expect(offsets[i]! % 16).toBe(0);
							end = offsets[i]! + (hi - lo) * rowBytes;
						}
					expect(end).toBeLessThanOrEqual(batch.bytes);
					expect(batch.bytes).toBeLessThanOrEqual(BATCH_BYTES);
				}
				for (const of of planned) {
					const mine = batches
						.flatMap((batch) => batch.pieces)
						.filter((piece) => piece.of === of);
					let next = 0;
					for (const { lo, hi } of mine) {
						expect(lo).toBe(next);
						expect(lo % 16).toBe(0);
						expect(hi).toBeGreaterThan(lo);
						next = hi;
					}
					expect(next).toBe(of.matrix.rows);
				}
			}),
			{ numRuns: 30 },
		);
	});

	it("refuse rows of which not even a tile fits, and what no kernel packs", () => {
		const wide = weight([16, [BATCH_BYTES / 16]]);
		expect(() => cutBatches([wide])).toThrow(UnsupportedError);
		expect(() => cutBatches([wide])).toThrow(/^w: 16 rows take 8388608 bytes/);
		const unknown = weight([16, [4]]);
		Object.assign(unknown.matrix, { pack: "pack_x", scheme: "X1" });
		const [batch] = cutBatches([unknown]);
		expect(() => packingProgram(batch!, [0])).toThrow(
			"w: no kernel packs weights stored as X1",
		);
	});
});

describe.each([1, 2])("what goes wrong with %d threads", (threads) => {
	const running = new Set<Thread>();
	let kill: ((reason: string) => void) | undefined;
	/** Threads that are counted until they are stopped. */
	const counted = (): Thread => {
		const thread = spawn();
		const own: Thread = {
			...thread,
			onFailure(listener) {
				kill = listener;
				thread.onFailure(listener);
			},
			async stop() {
				await thread.stop();
				running.delete(own);
			},
		};
		running.add(own);
		return own;
	};
	const runtime = {
		name: "server",
		openPath,
		embedded: async () => bytesRepository(files),
		kernels,
		threads: 2,
		spawn: counted,
		yield: async () => {},
	} as const;
	afterEach(() => {
		expect(running.size).toBe(0);
	});
	/** Loads, which has to fail, and returns the error. Sources are read no more when it does. */
	const failure = async (
		source: Repository | string,
		options: object = {},
	): Promise<Error> => {
		const error = await load(runtime, source, { threads, ...options }).then(
			() => undefined,
			(error: Error) => error,
		);
		expect(error).toBeInstanceOf(Error);
		return error!;
	};

	/** The model, of which each read of weights first asks `before`. */
	function watched(before: (offset: number) => void | Promise<void>) {
		const inner = bytesRepository(files);
		const reads = { begun: 0, ended: 0 };
		const repository: Repository = {
			...inner,
			async open(file) {
				const source = await inner.open(file);
				if (source === undefined || file === "config.json") return source;
				return {
					...source,
					async read(offset, length, into) {
						reads.begun++;
						try {
							await before(offset);
							return await source.read(offset, length, into);
						} finally {
							reads.ended++;
						}
					},
				};
			},
		};
		return { repository, reads };
	}
	/** Reads beyond this are of the second batch and those after it. */
	const late = BATCH_BYTES - 1e5;

	it("in a source is told with the weight that was read", async () => {
		const cause = new RangeError("the disk is on fire");
		const { repository, reads } = watched((offset) => {
			if (offset > late) throw cause;
		});
		const error = await failure(repository);
		expect(error).toBeInstanceOf(SourceError);
		expect(error.message).toBe(
			"model.embed_tokens.weight: the disk is on fire",
		);
		expect(error.cause).toBe(cause);
		const { begun, ended } = reads;
		expect(ended).toBe(begun);
		await setTimeout(20);
		expect(reads.begun).toBe(begun);
	});

	it("keeps what a source's error says of addresses", async () => {
		const { repository } = watched((offset) => {
			if (offset > late)
				throw new SourceError("gone", { status: 410, url: "https://a.b/c" });
		});
		expect(await failure(repository)).toMatchObject({
			name: "SourceError",
			status: 410,
			url: "https://a.b/c",
		});
	});

	it("in a file that ends while it is read is told with the weight", async () => {
		const folder = mkdtempSync(join(tmpdir(), "nibble-fill-"));
		try {
			for (const [name, bytes] of Object.entries(files))
				writeFileSync(join(folder, name), bytes);
			const error = await failure(folder, {
				onProgress: () =>
					truncateSync(join(folder, "model.safetensors"), 2 * late),
			});
			expect(error).toBeInstanceOf(SourceError);
			expect(error.message).toMatch(
				/^model\.embed_tokens\.weight: .*model\.safetensors: ended at byte \d+, expected \d+ bytes$/,
			);
		} finally {
			rmSync(folder, { recursive: true });
		}
	});

	it("in a scale is told with the tensor", async () => {
		const file = await nanoGguf("Q8_0");
		// The last block of the last matrix, which the final norms follow.
		file.fill(0xff, file.length - 0.3e6, file.length - 0.2e6);
		const error = await failure(bytesRepository({ "m.gguf": file }));
		expect(error.name).toBe("CheckpointError");
		expect(error.message).toMatch(
			/a scale of model\.layers\.\d\.\S+ at byte \d+ is NaN, expected a finite Q8_0 scale/,
		);
	});

	it("by the will of a signal ends with its reason, after the reads under way", async () => {
		const control = new AbortController();
		const reason = new Error("enough");
		const { repository, reads } = watched(async (offset) => {
			if (offset > late) control.abort(reason);
			await setTimeout(1);
		});
		expect(await failure(repository, { signal: control.signal })).toBe(reason);
		const { begun, ended } = reads;
		expect(ended).toBe(begun);
		await setTimeout(20);
		expect(reads.begun).toBe(begun);
	});

	it("in what the caller does with progress is the caller's", async () => {
		const thrown = new Error("no such element");
		for (const at of ["initiate", "progress", "ready"]) {
			const onProgress = ({ status }: { status: string }) => {
				if (status === at) throw thrown;
			};
			expect(await failure(bytesRepository(files), { onProgress })).toBe(
				thrown,
			);
		}
	});

	it.skipIf(threads === 1)("in a thread is told with the weights", async () => {
		const { repository } = watched((offset) => {
			if (offset > late) kill!("ended with exit code 9");
		});
		const error = await failure(repository);
		expect(error).toBeInstanceOf(EngineError);
		expect(error.message).toMatch(
			/^packing model\.embed_tokens\.weight: worker 1 of 2: ended with exit code 9$/,
		);
	});
});

it("a kernel that fails is told with the weights, once what is read has been", async () => {
	const checkpoint = await openCheckpoint(bytesRepository(files));
	const { weights } = await planModel(checkpoint);
	const several = cutBatches(weights).findIndex(
		({ pieces }) => pieces.filter(({ of }) => !isVector(of)).length > 1,
	);
	let steps = 0;
	const pool: Pool = {
		parts: 1,
		prepare: async () => {},
		async step() {
			if (steps++ === several)
				throw new EngineError("a kernel failed: unreachable");
		},
		stop: async () => {},
	};
	const filling = fillWeights(weights, [new Memory(false)], pool);
	await expect(filling).rejects.toThrow(EngineError);
	await expect(filling).rejects.toThrow(
		/^packing model\.\S+ to model\.\S+: a kernel failed: unreachable$/,
	);
	expect(weights.some(isVector)).toBe(true);
	expect(steps).toBe(several + 1);
});
