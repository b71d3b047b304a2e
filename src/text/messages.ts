import { OptionError, UnsupportedError } from "../errors.ts";

/** A piece of a message's content, in the shapes of transformers and of the OpenAI API. */
export type ContentPart =
	| { readonly type: "text"; readonly text: string }
	| { readonly type: "image"; readonly [key: string]: unknown }
	| {
			readonly type: "image_url";
			readonly image_url: string | { readonly url: string };
	  };

/** A call of a tool, as an assistant message holds it. */
export interface ToolCall {
	readonly id?: string | undefined;
	readonly type?: "function" | undefined;
	readonly function: {
		readonly name: string;
		/** An object, or JSON text of one. */
		readonly arguments: Readonly<Record<string, unknown>> | string;
	};
}

/** One message of a conversation. Entries besides these are handed to the chat template as they are. */
export interface Message {
	/** Who speaks: "system" only first, where the model's template knows it; "tool" brings the result of a tool call. */
	readonly role: "system" | "user" | "assistant" | "tool";
	/** The text, or parts of it. Text parts are joined by line breaks for models that read text only. */
	readonly content?: string | readonly ContentPart[] | null | undefined;
	/**
	 * Tools that the assistant called. Some templates (SmolLM3's) leave them out; there, put the part's `raw` text into
	 * `content` instead.
	 */
	readonly tool_calls?: readonly ToolCall[] | undefined;
	/** In a tool's message: which call this is the result of. */
	readonly tool_call_id?: string | undefined;
	/** The tool's name, or the speaker's. */
	readonly name?: string | undefined;
	/** What the assistant thought before it answered, for templates that show it. */
	readonly reasoning_content?: string | undefined;
}

/** A function that the model may call: what it is for, and a JSON schema of its arguments. */
export interface Tool {
	readonly type: "function";
	readonly function: {
		readonly name: string;
		readonly description?: string | undefined;
		/** JSON schema of type "object". */
		readonly parameters?: Readonly<Record<string, unknown>> | undefined;
	};
}

/** What a template does with the parts of a message. */
export interface TemplateHabits {
	/** Whether image parts reach it. */
	readonly images: boolean;
	/** Whether it knows content parts of this type, besides text and images. */
	readonly knowsPart: (type: string) => boolean;
	/** Whether it wants a tool call's arguments as an object: it writes them as JSON, so text would be quoted twice. */
	readonly objectArguments: () => boolean;
}

/** Messages in the shape that the template expects. */
export function templateMessages(
	messages: readonly Message[],
	habits: TemplateHabits,
): Record<string, unknown>[] {
	if (!Array.isArray(messages) || messages.length === 0) {
		throw new OptionError(
			`messages: found ${Array.isArray(messages) ? "none" : typeof messages}, expected a list of at least one message`,
		);
	}
	return messages.map((message: Message, i) => {
		const where = `messages[${i}]`;
		if (typeof message !== "object" || message === null) {
			throw new OptionError(
				`${where}: found ${message === null ? "null" : typeof message}, expected an object with role and content`,
			);
		}
		if (typeof message.role !== "string") {
			throw new OptionError(
				`${where}.role: found ${typeof message.role}, expected "system", "user", "assistant" or "tool"`,
			);
		}
		const { content, tool_calls } = message;
		if (tool_calls && !Array.isArray(tool_calls)) {
			throw new OptionError(
				`${where}.tool_calls: found ${typeof tool_calls}, expected a list of calls`,
			);
		}
		return {
			...message,
			...(content !== undefined && {
				content: templateContent(content, habits, `${where}.content`),
			}),
			...(tool_calls && {
				tool_calls: tool_calls.map((call) => templateCall(call, habits)),
			}),
		};
	});
}

function templateContent(
	content: Exclude<Message["content"], undefined>,
	habits: TemplateHabits,
	where: string,
): unknown {
	if (content === null || typeof content === "string") return content;
	if (!Array.isArray(content)) {
		throw new OptionError(
			`${where}: found ${typeof content}, expected a string or a list of parts`,
		);
	}
	const parts = content.map((part: unknown, i) =>
		templatePart(part, habits, `${where}[${i}]`),
	);
	// A template for text only would leave a list of parts out without a word.
	return habits.images || parts.some(({ type }) => type !== "text")
		? parts
		: parts.map(({ text }) => text).join("\n");
}

function templatePart(
	part: unknown,
	{ images, knowsPart }: TemplateHabits,
	where: string,
): Record<string, unknown> {
	const given = (
		typeof part === "object" && part !== null ? part : {}
	) as Record<string, unknown>;
	const { type, text } = given;
	switch (type) {
		case "text":
		case "input_text":
		case "output_text":
			if (typeof text !== "string") break;
			return { type: "text", text };
		case "image":
			if (images) return withoutObjects(given);
			throw textOnly(where, type);
		case "image_url":
		case "input_image":
			if (images) return { type: "image" };
			throw textOnly(where, type);
		default:
			if (typeof type === "string" && knowsPart(type)) return given;
	}
	throw new OptionError(
		`${where}: found a part of type ${JSON.stringify(type) ?? typeof part}, expected { type: "text", text }${images ? ' or { type: "image" }' : ""}`,
	);
}

/** What a template may ask about an image: not its bytes, each of which it would be given as a value of its own. */
function withoutObjects(
	part: Record<string, unknown>,
): Record<string, unknown> {
	return Object.fromEntries(
		Object.entries(part).filter(([, value]) => typeof value !== "object"),
	);
}

function textOnly(where: string, type: string): UnsupportedError {
	return new UnsupportedError(
		`${where}: found a part of type "${type}", but this model reads text only`,
	);
}

function templateCall(call: unknown, habits: TemplateHabits): unknown {
	if (typeof call !== "object" || call === null) return call;
	const given = call as Record<string, unknown>;
	if (typeof given.function === "object") {
		return { ...given, function: templateCall(given.function, habits) };
	}
	return typeof given.arguments === "string" && habits.objectArguments()
		? { ...given, arguments: parsed(given.arguments) }
		: call;
}

function parsed(text: string): unknown {
	try {
		const value: unknown = JSON.parse(text);
		return typeof value === "object" && value !== null ? value : text;
	} catch {
		return text;
	}
}
