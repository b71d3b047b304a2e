import { expect } from "vitest";
import { NibbleError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { openZip } from "../src/formats/zip.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { bytesRepository, bytesSource } from "../src/sources/bytes.ts";
import { fixture, fixtureJson } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import { type Json, mutateJson } from "./mutate-json.ts";
import type { Sample } from "./survive.ts";
import { fourBitConfig } from "./write-bitsandbytes.ts";
import { writeZip } from "./write-zip.ts";

type Files = Readonly<Record<string, Uint8Array>>;

const json = (value: unknown) =>
	new TextEncoder().encode(JSON.stringify(value));

function compressedTensorsConfig(): Json {
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
	return {
		quantization_config: {
			quant_method: "compressed-tensors",
			ignore: ["lm_head"],
			config_groups: Object.fromEntries(groups),
		},
	};
}

const none: Json = {};
const safetensorsHeader = (bytes: Uint8Array) =>
	8 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

function damaged(
	name: string,
	files: Files,
	damage: (
		random: (below: number) => number,
	) => Promise<[file: string, bytes: Uint8Array]>,
	read: Sample["read"] = [0, 0.999],
): Sample {
	return {
		name,
		read,
		async damage(random) {
			const [file, bytes] = await damage(random);
			return () => attempt({ ...files, [file]: bytes });
		},
	};
}

/** Damages a file itself, in its first bytes or all over, or its configuration: as text, or a value of it. */
function direct(
	path: string,
	config: Json,
	part: "header" | "file" | "config" | "configured value",
): Sample {
	const bytes = fixture(path);
	const file = /\.safetensors$/.test(path)
		? "model.safetensors"
		: "pytorch_model.bin";
	const length = part === "header" ? safetensorsHeader(bytes) : bytes.length;
	const text = json(config);
	const files = { [file]: bytes, "config.json": text };
	return damaged(
		`${path}, its ${part}`,
		files,
		async (random) => {
			if (part === "configured value")
				return ["config.json", json(mutateJson(config, random))];
			return part === "config"
				? ["config.json", mutate(text.slice(), text.length, random)]
				: [file, mutate(bytes.slice(), length, random)];
			// A matrix that cannot be found does not hide the others.
		},
		part === "configured value" ? [0, 1] : undefined,
	);
}

/** Damages the pickle in an archive, and makes its checksum right again. */
function pickle(path: string): Sample {
	const source = bytesSource(fixture(path));
	const files = { "config.json": json(none) };
	return damaged(`${path}, its pickle`, files, async (random) => {
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
	});
}

const archives = [
	"torch/dtypes_odict.bin",
	"torch/nested.bin",
	"torchao/v0.12.0_f32_bf16scale.bin",
	"torchao/v0.14.1_bf16_affine.bin",
	"torchao/v0.15.0_bf16_hqq.bin",
];
/** Checkpoints with quantized weights, none of whose matrices makes more numbers than the file has bytes for. */
export const quantized: readonly Sample[] = [
	...archives.map(pickle),
	...archives.map((path) => direct(path, none, "file")),
	direct("torchao/v0.14.1_f32_bf16scale.safetensors", none, "header"),
	direct("torchao/v0.15.0_bf16_hqq.safetensors", none, "header"),
	direct("torchao/v0.15.0_bf16_hqq.safetensors", none, "file"),
	direct("ct/ct_0.12.2.safetensors", compressedTensorsConfig(), "header"),
	direct("ct/ct_0.12.2.safetensors", compressedTensorsConfig(), "file"),
	direct("ct/ct_0.12.2.safetensors", compressedTensorsConfig(), "config"),
	direct(
		"ct/ct_0.12.2.safetensors",
		compressedTensorsConfig(),
		"configured value",
	),
	direct("bnb/bnb.safetensors", fourBitConfig(), "configured value"),
	direct("bnb/bnb.safetensors", none, "header"),
	direct("bnb/bnb.safetensors", none, "file"),
];

/** Opens a checkpoint, finds all matrices and reads some rows of each. */
async function attempt(files: Files): Promise<void> {
	const size = Object.values(files).reduce((sum, f) => sum + f.length, 0);
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
}
