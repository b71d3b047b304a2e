import { existsSync, mkdirSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MixName } from "./mixes.ts";
import type { ShapeName } from "./shapes.ts";
import { type VisionMix, writeMmproj } from "./write-mmproj.ts";
import { writeModel } from "./write-model.ts";
import { writeTorchao } from "./write-torchao.ts";

const FOLDER = join(tmpdir(), "nibble-bench");

/** Path of a GGUF file with random weights; written the first time it is asked for, and kept. */
export const modelFile = (shape: ShapeName, mix: MixName): Promise<string> =>
	written(`${shape}.${mix}.gguf`, (path) => writeModel(path, shape, mix));

/** The same of an mmproj file: Gemma 3's tower, which goes with gemma-3-4b-it. */
export const mmprojFile = (mix: VisionMix): Promise<string> =>
	written(`mmproj-gemma-3.${mix}.gguf`, (path) => writeMmproj(path, mix));

/** The same of a folder in torchao's INT8-INT4 form. */
export const torchaoFolder = (shape: ShapeName): Promise<string> =>
	written(`${shape}.8da4w`, (path) => writeTorchao(path, shape));

async function written(
	name: string,
	write: (path: string) => Promise<void>,
): Promise<string> {
	const path = join(FOLDER, name);
	if (existsSync(path)) return path;
	mkdirSync(FOLDER, { recursive: true });
	const unfinished = `${path}.${process.pid}`;
	await write(unfinished);
	renameSync(unfinished, path);
	return path;
}
