import type { ToolCallPart } from "./parts.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * The calls in the text between tool call markers: `{"name", "arguments"}` as JSON, or a list of these. Arguments may
 * be called parameters or be JSON text themselves. Undefined if it is anything else.
 */
export function toolCalls(
	body: string,
	raw: string,
): ToolCallPart[] | undefined {
	const value = parsed(body);
	const calls = Array.isArray(value) ? value : [value];
	const parts = calls.map((call) => toolCall(call, raw));
	return parts.length > 0 && parts.every((part) => part !== undefined)
		? parts
		: undefined;
}

/** Python code, called with nothing but itself. */
export function pythonCall(body: string, raw: string): ToolCallPart[] {
	const code = body.replace(/^\n/, "").trimEnd();
	return [
		{
			type: "tool-call",
			name: "python",
			arguments: { code },
			language: "python",
			raw,
		},
	];
}

function toolCall(value: unknown, raw: string): ToolCallPart | undefined {
	if (!isObject(value)) return undefined;
	const { name, ...call } = isObject(value.function) ? value.function : value;
	const given = call.arguments ?? call.parameters ?? {};
	const args = typeof given === "string" ? parsed(given) : given;
	return typeof name === "string" && name !== "" && isObject(args)
		? { type: "tool-call", name, arguments: args, raw }
		: undefined;
}

function parsed(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

function isObject(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
