import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";

/** The command line as it is published. */
export const MAIN = "dist/cli/main.js";
export const isBuilt = existsSync(MAIN);
if (!isBuilt) console.warn(`skipped: ${MAIN} is missing, run npm run build`);

/** How a command ended, and what it printed. */
export interface Run {
	readonly code: number | null;
	readonly out: string;
	readonly err: string;
}

/**
 * Runs a command. One thread where threads are not the subject: on a busy machine several would mostly wait for each other.
 * @param env added to the environment of the tests
 */
export function nibble(
	args: readonly string[],
	input = "",
	env: Readonly<Record<string, string>> = {},
): Promise<Run> {
	const computes = /^(generate|chat|logits|bench|demo)$/.test(args[0] ?? "");
	const threads =
		computes && !args.includes("--threads") ? ["--threads", "1"] : [];
	return new Promise((resolve) => {
		const child = spawn(process.execPath, [MAIN, ...args, ...threads], {
			env: { ...process.env, ...env },
		});
		let out = "";
		let err = "";
		child.stdout.setEncoding("utf8").on("data", (text) => {
			out += text;
		});
		child.stderr.setEncoding("utf8").on("data", (text) => {
			err += text;
		});
		child.on("close", (code) => resolve({ code, out, err }));
		child.stdin.on("error", () => {}); // it may end without reading
		child.stdin.end(input);
	});
}
