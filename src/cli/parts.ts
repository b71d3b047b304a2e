import process from "node:process";
import type { Part } from "../runtime/server.ts";

const DIM = "\x1b[2m";
const PLAIN = "\x1b[0m";

/**
 * Prints parts as they come: the text, and tool calls as a line of JSON each, on stdout; the reasoning on stderr unless
 * told otherwise, so that a pipe gets the answer alone.
 */
export async function writeParts(
	parts: AsyncIterable<Part>,
	{ reasoning = process.stderr }: { reasoning?: NodeJS.WriteStream } = {},
): Promise<void> {
	const think = (text: string) => {
		reasoning.write(reasoning.isTTY ? DIM + text + PLAIN : text);
	};
	let inLine = false;
	let isThinking = false;
	for await (const part of parts) {
		if (isThinking && part.type !== "reasoning") think("\n");
		isThinking = part.type === "reasoning";
		if (part.type === "reasoning") {
			think(part.text);
		} else if (part.type === "text") {
			process.stdout.write(part.text);
			if (part.text !== "") inLine = !part.text.endsWith("\n");
		} else {
			const { name, arguments: values } = part;
			process.stdout.write(
				`${inLine ? "\n" : ""}${JSON.stringify({ name, arguments: values })}\n`,
			);
			inLine = false;
		}
	}
	if (isThinking) think("\n");
	if (inLine) process.stdout.write("\n");
}
