import { describe, expect, test } from "vitest";
import { NibbleError, SourceError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { openZip } from "../src/formats/zip.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import { fixture, fixtureJson } from "./fixture.ts";
import { generator, mutate } from "./mutate.ts";
import { writeZip } from "./write-zip.ts";

/**
 * Checkpoints with quantized weights, damaged: each matrix decodes or is a NibbleError, in time, without reading outside
 * its file (a SourceError) and without making more numbers than the file has bytes for.
 */
const ROUNDS = 600;
const MOST_MILLISECONDS = 2000;

interface Sample {
	readonly name: string;
	readonly part: string;
	readonly files: Readonly<Record<string, Uint8Array>>;
	/** Makes the damage to one of the files. */
	damage(random: (below: number) => number): Promise<[string, Uint8Array]>;
}

const json = (value: unknown) =>
	new TextEncoder().encode(JSON.stringify(value));

function compressedTensorsConfig(): Uint8Array {
	const { mods } = fixtureJson("ct/ct_0.12.2.json");
	const groups = Object.entries<{ scheme?: object }>(mods).map(
		([module, { scheme }]) => [
			module,
			{
				...(scheme ?? { weights: { num_bits: 4, strategy: "channel" } }),
				targets: [module, `re:.*${module}$`],
			},
		],
	);
	return json({
		quantization_config: {
			quant_method: "compressed-tensors",
			ignore: ["lm_head"],
			config_groups: Object.fromEntries(groups),
		},
	});
}

const none = json({});
const safetensorsHeader = (bytes: Uint8Array) =>
	8 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

/** Damages a file itself, in its first bytes or all over. */
function direct(
	path: string,
	config: Uint8Array,
	part: "header" | "file" | "config",
): Sample {
	const bytes = fixture(path);
	const file = /\.safetensors$/.test(path)
		? "model.safetensors"
		: "pytorch_model.bin";
	const length = part === "header" ? safetensorsHeader(bytes) : bytes.length;
	return {
		name: path,
		part,
		files: { [file]: bytes, "config.json": config },
		damage: async (random) =>
			part === "config"
				? ["config.json", mutate(config.slice(), config.length, random)]
				: [file, mutate(bytes.slice(), length, random)],
	};
}

/** Damages the pickle in an archive, and makes its checksum right again. */
function pickle(path: string): Sample {
	const source = bytesSource(fixture(path));
	return {
		name: path,
		part: "pickle",
		files: { "config.json": none },
		async damage(random) {
			const zip = await openZip(source);
			const records = await Promise.all(
				[...zip.entries.values()].map(async (entry) => {
					const data = await zip.readWhole(entry, 1 << 20);
					const hit = entry.name.endsWith("data.pkl");
					return {
						name: entry.name,
						data: hit ? mutate(data.slice(), data.length, random) : data,
					};
				}),
			);
			return ["pytorch_model.bin", writeZip(records)];
		},
	};
}

const archives = [
	"torch/dtypes_odict.bin",
	"torch/nested.bin",
	"torchao/v0.12.0_f32_bf16scale.bin",
	"torchao/v0.14.1_bf16_affine.bin",
	"torchao/v0.15.0_bf16_hqq.bin",
];
const samples: Sample[] = [
	...archives.map(pickle),
	...archives.map((path) => direct(path, none, "file")),
	direct("torchao/v0.14.1_f32_bf16scale.safetensors", none, "header"),
	direct("torchao/v0.15.0_bf16_hqq.safetensors", none, "header"),
	direct("torchao/v0.15.0_bf16_hqq.safetensors", none, "file"),
	direct("ct/ct_0.12.2.safetensors", compressedTensorsConfig(), "header"),
	direct("ct/ct_0.12.2.safetensors", compressedTensorsConfig(), "file"),
	direct("ct/ct_0.12.2.safetensors", compressedTensorsConfig(), "config"),
	direct("bnb/bnb.safetensors", none, "header"),
	direct("bnb/bnb.safetensors", none, "file"),
];

describe.each(samples)("$name, its $part", ({ files, damage }) => {
	test(`survives ${ROUNDS} mutations`, async () => {
		const random = generator(0x5eed);
		let opened = 0;
		for (let round = 0; round < ROUNDS; round++) {
			const [file, bytes] = await damage(random);
			const start = performance.now();
			const outcome = await attempt({ ...files, [file]: bytes });
			const what = `round ${round}: ${outcome}`;
			expect(performance.now() - start, what).toBeLessThan(MOST_MILLISECONDS);
			if (outcome === undefined) opened++;
			else {
				expect(outcome, what).toBeInstanceOf(NibbleError);
				expect(outcome, what).not.toBeInstanceOf(SourceError);
			}
		}
		expect(opened).toBeLessThan(ROUNDS);
	});
});

/** Opens a checkpoint, finds all matrices and reads some rows of each; the error where that fails. */
async function attempt(
	files: Readonly<Record<string, Uint8Array>>,
): Promise<unknown> {
	const size = Object.values(files).reduce((sum, f) => sum + f.length, 0);
	try {
		const checkpoint = await openCheckpoint(bytesRepository(files));
		for (const name of matrixNames(checkpoint)) {
			const found = await findMatrix(checkpoint, name).catch((error) => {
				// one bad tensor does not hide the others
				if (error instanceof NibbleError) return undefined;
				throw error;
			});
			if (found === undefined || found.rows === 0) continue;
			// eight codes of 1 bit per byte are the most there can be
			expect(found.rows * found.cols).toBeLessThanOrEqual(8 * size);
			for (const plane of found.planes) {
				const bytes = await plane.read(0, found.rows);
				expect(bytes.length).toBe(found.rows * plane.rowBytes);
			}
			const last = await found.decode(found.rows - 1, found.rows);
			expect(last.length).toBe(found.cols);
		}
		return undefined;
	} catch (error) {
		return error;
	}
}
