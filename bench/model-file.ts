import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FormatName, isMix } from "./formats/formats.ts";
import { type ShapeName, shapes } from "./shapes.ts";
import { WEIGHTS, writeCheckpoint } from "./write-checkpoint.ts";
import { type VisionMix, writeMmproj } from "./write-mmproj.ts";
import { writeModel } from "./write-model.ts";

const FOLDER = join(tmpdir(), "nibble-bench");

const pathOf = (shape: ShapeName, format: FormatName): string =>
	join(FOLDER, `${shape}.${format}${isMix(format) ? ".gguf" : ""}`);

/** Path of a GGUF file, or of a checkpoint's folder, with random weights; written the first time it is asked for, and kept. */
export const modelFile = (
	shape: ShapeName,
	format: FormatName,
): Promise<string> =>
	written(pathOf(shape, format), (path) =>
		isMix(format)
			? writeModel(path, shapes[shape], format)
			: writeCheckpoint(path, shapes[shape], format),
	);

/** The same for the time of `use`: what was not there before is deleted after it. */
export async function withModelFile<T>(
	shape: ShapeName,
	format: FormatName,
	use: (path: string) => Promise<T>,
): Promise<T> {
	const path = pathOf(shape, format);
	const isKept = existsSync(path);
	try {
		return await use(await modelFile(shape, format));
	} finally {
		if (!isKept) rmSync(path, { recursive: true, force: true });
	}
}

/** The file with the weights of a model at that path. */
export const weightsFile = (path: string): string =>
	statSync(path).isFile() ? path : join(path, WEIGHTS);

/** Path of an mmproj file with random weights: Gemma 3's tower, which goes with gemma-3-4b-it. */
export const mmprojFile = (mix: VisionMix): Promise<string> =>
	written(join(FOLDER, `mmproj-gemma-3.${mix}.gguf`), (path) =>
		writeMmproj(path, mix),
	);

async function written(
	path: string,
	write: (path: string) => Promise<void>,
): Promise<string> {
	if (existsSync(path)) return path;
	mkdirSync(FOLDER, { recursive: true });
	const unfinished = `${path}.${process.pid}`;
	try {
		await write(unfinished);
		renameSync(unfinished, path);
	} finally {
		rmSync(unfinished, { recursive: true, force: true });
	}
	return path;
}
