import { join } from "node:path";
import { type Contender, startContender } from "../contender.ts";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "../..");

/** How each program is started; MODEL and THREADS follow. */
const commands = {
	nibble: ["scripts/run.mjs", "bench/nibble.contender.ts"],
	"llama.cpp": [join(HERE, "llama-cpp.contender.ts")],
	"nibble-chromium": [join(HERE, "chromium.contender.ts"), "nibble"],
	"wllama-2": [join(HERE, "chromium.contender.ts"), "wllama-2"],
	"wllama-3": [join(HERE, "chromium.contender.ts"), "wllama-3"],
	onnxruntime: [join(HERE, "chromium.contender.ts"), "onnxruntime"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

export type ProgramName = keyof typeof commands;
export const programNames = Object.keys(commands) as ProgramName[];

export function startProgram(
	name: ProgramName,
	model: string,
	threads: number,
): Promise<Contender> {
	const [file, ...args] = commands[name];
	return startContender(file, [...args, model, String(threads)], {
		cwd: ROOT,
	});
}
