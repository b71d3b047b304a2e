import { CheckpointError } from "../errors.ts";

/** The JSON object that a file holds. */
export function parseJson(
	bytes: Uint8Array,
	file: string,
): Record<string, unknown> {
	let value: unknown;
	try {
		value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
	} catch (cause) {
		throw new CheckpointError(`${file}: not valid JSON`, { cause });
	}
	if (!isRecord(value))
		throw new CheckpointError(`${file}: a JSON object was expected`);
	return value;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as an error message shows it: JSON of bounded length. */
export function excerpt(value: unknown): string {
	const text =
		JSON.stringify(value, (_, item) =>
			typeof item === "bigint" ? `${item}` : item,
		) ?? "undefined";
	return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
