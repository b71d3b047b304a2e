import { parseArgs } from "node:util";
import { type FlagName, type FlagValues, flags, type Values } from "./flags.ts";

/** A command line that makes no sense; exit code 2. */
export class UsageError extends Error {
	override name = "UsageError";
}

/** One command of `nibble`. */
export interface Command<Names extends FlagName = FlagName> {
	/** One line for the list of commands. */
	readonly about: string;
	/** What may follow the flags, for --help. */
	readonly operands?: string;
	/** Accepted flags in the order of --help; --help itself always is. */
	readonly flags: readonly Names[];
	/** @returns the exit code. */
	run(values: Values<Names>, operands: readonly string[]): Promise<number>;
}

/** Types `run`'s values by the flags that the command lists. */
export function command<const Names extends FlagName>(
	definition: Command<Names>,
): Command<Names> {
	return definition;
}

/**
 * Reads a command's arguments.
 * @throws UsageError for an unknown flag (naming the nearest one), a missing or unexpected value, or one of the wrong kind.
 */
export function parse<Names extends FlagName>(
	args: readonly string[],
	accepted: readonly Names[],
): { values: Values<Names | "help">; operands: string[] } {
	const names: readonly FlagName[] = [...accepted, "help"];
	const { tokens } = parseArgs({
		args: [...args],
		options: Object.fromEntries(
			names.map((name) => [
				name,
				{ type: flags[name].kind === "flag" ? "boolean" : "string" } as const,
			]),
		),
		strict: false,
		tokens: true,
	});
	const values: { -readonly [N in FlagName]?: unknown } = {};
	const operands: string[] = [];
	for (const token of tokens) {
		if (token.kind === "positional") operands.push(token.value);
		if (token.kind !== "option") continue;
		const name = names.find((known) => known === token.name);
		if (!name || !token.rawName.startsWith("--"))
			throw new UsageError(
				`unknown flag ${token.rawName}${suggest(
					`--${token.name}`,
					names.map((known) => `--${known}`),
				)}`,
			);
		const { kind } = flags[name];
		if (kind === "flag") {
			if (token.value !== undefined)
				throw new UsageError(
					`--${name} takes no value, found "${token.value}"`,
				);
			values[name] = true;
			continue;
		}
		const text = token.value;
		const swallowed =
			!token.inlineValue && names.some((known) => text === `--${known}`);
		if (text === undefined || swallowed)
			throw new UsageError(`--${name} needs a value`);
		const value = read(name, kind, text);
		values[name] =
			kind === "texts"
				? [...((values[name] as string[] | undefined) ?? []), text]
				: value;
	}
	return { values: values as Values<Names | "help">, operands };
}

function read(
	name: FlagName,
	kind: keyof FlagValues,
	text: string,
): string | number | number[] {
	const wrong = (expected: string) =>
		new UsageError(`--${name} is "${text}", expected ${expected}`);
	switch (kind) {
		case "integer":
			if (!/^[+-]?\d+$/.test(text)) throw wrong("an integer");
			return Number(text);
		case "number":
			if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text))
				throw wrong("a number");
			return Number(text);
		case "ids":
			if (!/^\s*\d+(\s*[\s,]\s*\d+)*\s*$/.test(text))
				throw wrong("token ids such as 1,2,3");
			return text
				.trim()
				.split(/[\s,]+/)
				.map(Number);
		default:
			return text;
	}
}

/** `; did you mean …?` when one of the candidates is within a third of the word's length of edits. */
export function suggest(word: string, candidates: readonly string[]): string {
	const [nearest] = candidates
		.map((candidate) => ({ candidate, distance: edits(word, candidate) }))
		.sort((a, b) => a.distance - b.distance);
	return nearest && nearest.distance <= Math.max(2, word.length / 3)
		? `; did you mean ${nearest.candidate}?`
		: "";
}

/** Levenshtein distance. */
function edits(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const above = row;
		row = [i];
		for (let j = 1; j <= b.length; j++)
			row.push(
				Math.min(
					above[j]! + 1,
					row[j - 1]! + 1,
					above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
				),
			);
	}
	return row[b.length]!;
}

/** The text of `nibble NAME --help`. */
export function helpFor(
	name: string,
	{ about, operands, flags: accepted }: Command,
): string {
	const rows = [...accepted, "help" as const].map((flag) => {
		const { value, about } = { value: undefined, ...flags[flag] };
		return [value ? `--${flag} ${value}` : `--${flag}`, about] as const;
	});
	return [
		`nibble ${name} [flags]${operands ? ` ${operands}` : ""}`,
		about,
		"",
		...table(rows),
		"",
	].join("\n");
}

/** Two columns, indented. */
export function table(rows: readonly (readonly [string, string])[]): string[] {
	const width = Math.max(0, ...rows.map(([left]) => left.length));
	return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
