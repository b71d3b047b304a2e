import { join } from "node:path";
import { type Contender, startContender } from "../contender.ts";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "../..");

/** How each program is started; MODEL, THREADS and its options follow. */
const commands = {
	nibble: ["scripts/run.mjs", "bench/nibble.contender.ts"],
	"nibble-f16": ["scripts/run.mjs", "bench/nibble.contender.ts"],
	"llama.cpp": [join(HERE, "llama-cpp.contender.ts")],
	"nibble-chromium": [join(HERE, "chromium.contender.ts"), "nibble"],
	"wllama-2": [join(HERE, "chromium.contender.ts"), "wllama-2"],
	"wllama-3": [join(HERE, "chromium.contender.ts"), "wllama-3"],
	onnxruntime: [join(HERE, "chromium.contender.ts"), "onnxruntime"],
	transformers: [join(HERE, "chromium.contender.ts"), "transformers"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

/** llama.cpp keeps keys and values as f16 unless told otherwise, this library as f32. */
const options: { readonly [N in ProgramName]?: string } = {
	"nibble-f16": JSON.stringify({ cache: "f16" }),
};

export type ProgramName = keyof typeof commands;
export const programNames = Object.keys(commands) as ProgramName[];

export function startProgram(
	name: ProgramName,
	model: string,
	threads: number,
): Promise<Contender> {
	const [file, ...args] = commands[name];
	const { [name]: option } = options;
	return startContender(
		file,
		[...args, model, String(threads), ...(option ? [option] : [])],
		{ cwd: ROOT },
	);
}
