import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { NibbleError, OptionError, UnsupportedError } from "../errors.ts";
import { pythonStr, type TemplateValue } from "./python.ts";
import { strftime } from "./strftime.ts";

/** Fills a template in. `now` is what it takes for the present time. */
export type Template = (
	variables: Readonly<Record<string, unknown>>,
	now: Date,
) => string;

/** No prompt is anywhere near as long; a template that asks for more is broken or means harm. */
const MAX_RANGE = 1_000_000;

/** What templates turn values into text by; not a name that a template could use itself. */
const STR = "__str__";

/**
 * Compiles a chat template as transformers would: blocks trimmed, English dates, `raise_exception`, and values turned
 * into text as Python does, where `@huggingface/jinja` by itself fails for dictionaries.
 * @throws UnsupportedError for a template that cannot be parsed. Filling it in throws OptionError if the template
 * refuses the messages, UnsupportedError if it uses something unknown.
 */
export function compileTemplate(source: string, where: string): Template {
	let program: ReturnType<typeof parse>;
	try {
		program = parse(
			tokenize(source, { lstrip_blocks: true, trim_blocks: true }),
		);
		withPythonText(program);
	} catch (error) {
		throw new UnsupportedError(
			`${where}: the chat template cannot be read: ${messageOf(error)}`,
			{ cause: error },
		);
	}
	return (variables, now) => {
		try {
			const environment = environmentOf(variables, now);
			return String(new Interpreter(environment).run(program).value);
		} catch (error) {
			if (error instanceof NibbleError) throw error;
			throw new UnsupportedError(
				`${where}: the chat template fails on these messages: ${messageOf(error)}`,
				{ cause: error },
			);
		}
	};
}

function environmentOf(
	variables: Readonly<Record<string, unknown>>,
	now: Date,
): Environment {
	const environment = new Environment();
	const set = (name: string, value: unknown) => {
		environment.variables.delete(name);
		environment.set(name, value);
	};
	set("range", range);
	set("strftime_now", (format: string) => strftime(now, format));
	set("raise_exception", (reason: unknown) => {
		throw new OptionError(`the chat template refuses the messages: ${reason}`);
	});
	for (const [name, value] of Object.entries(variables)) {
		if (value !== undefined) set(name, value);
	}
	for (const [name, value] of [
		["true", true],
		["false", false],
		["none", null],
	] as const) {
		set(name, value);
		set(name.charAt(0).toUpperCase() + name.slice(1), value);
	}
	set(STR, ([value]: readonly TemplateValue[]) =>
		value === undefined ? "" : pythonStr(value),
	);
	return environment;
}

function range(first: number, second?: number, step = 1): number[] {
	const [start, stop] = second === undefined ? [0, first] : [first, second];
	const length = Math.max(0, Math.ceil((stop - start) / step));
	if (!(length <= MAX_RANGE)) {
		throw new Error(`range(${start}, ${stop}, ${step}) is too long`);
	}
	return Array.from({ length }, (_, i) => start + i * step);
}

type Node = Record<string, unknown>;

/**
 * Rewrites `x | string` and the operands of `a ~ b` into calls of our own function. It gets its argument in a list,
 * because the interpreter unwraps arguments but not what is in a list.
 */
function withPythonText(node: object): void {
	if (node instanceof Map) {
		for (const [key, value] of [...node]) {
			// The keys of a mapping in a template are expressions, too.
			node.delete(key);
			node.set(rewritten(key), rewritten(value));
		}
		return;
	}
	const fields = node as Node;
	for (const [name, value] of Object.entries(fields)) {
		fields[name] = rewritten(value);
	}
	if (fields.type === "BinaryExpression") {
		const { value } = fields.operator as { value: string };
		if (value === "~") {
			fields.left = strOf(fields.left);
			fields.right = strOf(fields.right);
		}
	}
}

function rewritten(value: unknown): unknown {
	if (typeof value !== "object" || value === null) return value;
	withPythonText(value);
	const node = value as Node;
	if (node.type !== "FilterExpression") return value;
	const filter = node.filter as Node;
	const { value: name } = (
		filter.type === "CallExpression" ? filter.callee : filter
	) as Node;
	return name === "string" ? strOf(node.operand) : value;
}

/** The call as the parser would have made it. */
function strOf(operand: unknown): unknown {
	const [call] = parse(tokenize(`{{ ${STR}([0]) }}`)).body as unknown as [
		{ args: [{ value: unknown[] }] },
	];
	call.args[0].value = [operand];
	return call;
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
