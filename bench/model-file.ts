import { existsSync, mkdirSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MixName } from "./mixes.ts";
import type { ShapeName } from "./shapes.ts";
import { writeModel } from "./write-model.ts";

/** Path of a GGUF file with random weights; written the first time it is asked for, and kept. */
export async function modelFile(
	shape: ShapeName,
	mix: MixName,
	folder = join(tmpdir(), "nibble-bench"),
): Promise<string> {
	const path = join(folder, `${shape}.${mix}.gguf`);
	if (existsSync(path)) return path;
	mkdirSync(folder, { recursive: true });
	const unfinished = `${path}.${process.pid}`;
	await writeModel(unfinished, shape, mix);
	renameSync(unfinished, path);
	return path;
}
