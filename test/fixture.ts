import { readFileSync } from "node:fs";
import type {
	Checkpoint,
	Contents,
	StoredTensor,
} from "../src/formats/checkpoint.ts";
import { storedTensor } from "../src/formats/stored.ts";
import { bytesSource } from "../src/sources/bytes.ts";
import type { ByteSource } from "../src/sources/source.ts";

const folder = new URL("./fixtures/", import.meta.url);

/** Bytes of test/fixtures/<path>. */
export function fixture(path: string): Uint8Array {
	return new Uint8Array(readFileSync(new URL(path, folder)));
}

/** test/fixtures/<path> as a source. */
export function fixtureSource(path: string): ByteSource {
	return bytesSource(fixture(path), path);
}

/** What test/fixtures/<path> holds, parsed as JSON, in which NaN and infinities are allowed. */
// biome-ignore lint/suspicious/noExplicitAny: golden files differ in shape, and a wrong guess fails the test that made it
export function fixtureJson(path: string): any {
	return JSON.parse(new TextDecoder().decode(fixture(path)));
}

/** Values of a little-endian f32 .npy file of version 1.0. */
export function fixtureNpy(path: string): Float32Array {
	const bytes = fixture(path);
	const headerBytes = new DataView(bytes.buffer).getUint16(8, true);
	return new Float32Array(bytes.slice(10 + headerBytes).buffer);
}

/** A checkpoint made of what one container holds and, where given, another config. */
export function checkpointOf(
	contents: Contents,
	config: Readonly<Record<string, unknown>> = {},
): Checkpoint {
	return {
		container: "safetensors",
		name: "fixture",
		config,
		generationConfig: {},
		origins: {
			config: "fixture: config.json",
			generationConfig: "fixture: generation_config.json",
			processor: "fixture: preprocessor_config.json",
		},
		tokenizer: undefined,
		close: async () => {},
		...contents,
	};
}

/** A stored tensor over bytes in memory. */
export function storedBytes(
	name: string,
	type: string,
	shape: readonly number[],
	bytes: Uint8Array,
): StoredTensor {
	const source = bytesSource(bytes, "made");
	return storedTensor(source, 0, { name, type, shape, bytes: bytes.length });
}

/** A checkpoint of stored tensors. */
export function checkpointWith(
	tensors: readonly StoredTensor[],
	config: Readonly<Record<string, unknown>> = {},
	metadata: Readonly<Record<string, unknown>> = {},
): Checkpoint {
	const named = new Map(tensors.map((tensor) => [tensor.name, tensor]));
	return checkpointOf({ tensors: named, metadata }, config);
}
