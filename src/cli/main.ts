#!/usr/bin/env node
import process from "node:process";
import { NibbleError, version } from "../runtime/server.ts";
import {
	type Command,
	helpFor,
	parse,
	suggest,
	table,
	UsageError,
} from "./arguments.ts";
import { bench } from "./bench.ts";
import { chat } from "./chat.ts";
import { demo } from "./demo.ts";
import { generate } from "./generate.ts";
import { inspect } from "./inspect.ts";
import { logits } from "./logits.ts";
import { tokenize } from "./tokenize.ts";

const commands: Readonly<Record<string, Command>> = {
	generate,
	chat,
	inspect,
	logits,
	tokenize,
	bench,
	demo,
};

function help(): string {
	return [
		"nibble COMMAND [flags]",
		"Small language models on the CPU.",
		"",
		...table(
			Object.entries(commands).map(([name, { about }]) => [name, about]),
		),
		"",
		"nibble COMMAND --help lists a command's flags; nibble --version prints the version.",
		"",
	].join("\n");
}

/** @returns the exit code: 0, 1 when the work failed, 2 when the command line makes no sense, 130 after Ctrl-C. */
async function main(args: readonly string[]): Promise<number> {
	const [name, ...rest] =
		args[0] === "help" ? [...args.slice(1), "--help"] : args;
	if (name === undefined || name === "--help" || name === "-h") {
		process.stdout.write(help());
		return name === undefined ? 2 : 0;
	}
	if (name === "--version" || name === "-v") {
		process.stdout.write(`${version}\n`);
		return 0;
	}
	const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
	if (!command)
		throw new UsageError(
			`unknown command ${name}${suggest(name, Object.keys(commands))}`,
		);
	const { values, operands } = parse(rest, command.flags);
	if (values.help) {
		process.stdout.write(helpFor(name, command));
		return 0;
	}
	if (operands.length > 0 && !command.operands)
		throw new UsageError(
			`unexpected ${JSON.stringify(operands[0])}, nibble ${name} takes only flags`,
		);
	return command.run(values, operands);
}

/** One line for what was expected to go wrong somewhere; NIBBLE_DEBUG shows where. */
function report(error: unknown): number {
	const line = error instanceof Error ? error.message : String(error);
	const expected = error instanceof NibbleError || error instanceof UsageError;
	process.stderr.write(
		`nibble: ${expected ? "" : "unexpected error: "}${line.replaceAll(/\s*\n\s*/g, " ")}\n`,
	);
	if (process.env.NIBBLE_DEBUG && error instanceof Error)
		process.stderr.write(`${error.stack}\n`);
	return error instanceof UsageError ? 2 : 1;
}

// A reader that has enough, as in `nibble … | head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit(0);
	throw error;
});

process.exitCode = await main(process.argv.slice(2)).catch(report);
