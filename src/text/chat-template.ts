import { OptionError } from "../errors.ts";
import { compileTemplate, type Template } from "./jinja.ts";
import {
	type Message,
	type TemplateHabits,
	type Tool,
	templateMessages,
} from "./messages.ts";

export type { ContentPart, Message, Tool, ToolCall } from "./messages.ts";

/** Chat templates by name. "default" is the one for plain chats, "tool_use" goes first when tools are given. */
export type ChatTemplates = Readonly<Record<string, string>>;

/** What a conversation may say to the model's chat template besides its messages. */
export interface ChatOptions {
	/**
	 * Functions that the model may call. It asks for a call with a tool-call part; answer with a message of role "tool".
	 * @default none
	 */
	readonly tools?: readonly Tool[] | undefined;
	/**
	 * Functions that the model may call from Python code it writes (SmolLM3): as in `tools`, or Python signatures.
	 * @default none
	 */
	readonly pythonTools?: readonly (Tool | string)[] | undefined;
	/**
	 * Whether the model thinks before it answers, for models that can do either (`enable_thinking` of their templates).
	 * @default as the template says; SmolLM3 thinks
	 */
	readonly thinking?: boolean | undefined;
	/** Documents to answer from, for templates that know them: usually `{ title, text }`. @default none */
	readonly documents?: readonly Readonly<Record<string, unknown>>[] | undefined;
	/**
	 * The date that the template tells the model. Fix it for prompts that are the same every day.
	 * @default now
	 */
	readonly date?: Date | undefined;
	/** Which of several templates to use. @default "tool_use" if there is one and tools are given, else "default" */
	readonly templateName?: string | undefined;
	/** Further variables of the template, by the template's own names. @default none */
	readonly templateVariables?: Readonly<Record<string, unknown>> | undefined;
}

export interface RenderOptions extends ChatOptions {
	/**
	 * Ends with the beginning of an assistant's message, so that the model answers.
	 * @default false
	 */
	readonly addGenerationPrompt?: boolean | undefined;
	/**
	 * Leaves the last message open, so that the model continues it. Not together with `addGenerationPrompt`.
	 * @default false
	 */
	readonly continueFinalMessage?: boolean | undefined;
}

/** Turns a conversation into the text that a model was trained to continue. */
export interface ChatTemplate {
	/** The templates' sources. */
	readonly templates: ChatTemplates;
	/**
	 * The prompt's text. It holds all special tokens, so encode it with `addSpecialTokens: false`.
	 * @throws OptionError for messages that are malformed or that the template refuses, UnsupportedError for images
	 * given to a model that reads text only, or a template that uses something unknown.
	 */
	render(messages: readonly Message[], options?: RenderOptions): string;
}

export interface ChatTemplateSettings {
	/** Contents of the special tokens by name, as `Tokenizer.specialTokens` has them. */
	readonly specialTokens?: () => Readonly<Record<string, string>>;
	/**
	 * Whether the model sees images, so that image parts reach the template.
	 * @default false
	 */
	readonly images?: boolean;
	/** Where the templates are from, for error messages. */
	readonly where?: string;
}

/** A template is compiled when it is first used. */
export function createChatTemplate(
	templates: string | ChatTemplates,
	{
		specialTokens = () => ({}),
		images = false,
		where = "chat template",
	}: ChatTemplateSettings = {},
): ChatTemplate {
	const named =
		typeof templates === "string" ? { default: templates } : templates;
	const compiled = new Map<string, Compiled>();

	const find = (name: string): Compiled => {
		let found = compiled.get(name);
		if (found === undefined) {
			const source = Object.hasOwn(named, name) ? named[name] : undefined;
			if (source === undefined) {
				throw new OptionError(
					`${where}: there is no template named "${name}", expected one of ${Object.keys(named).join(", ")}`,
				);
			}
			const template = compileTemplate(source, where);
			found = { template, habits: habitsOf(source, template, images) };
			compiled.set(name, found);
		}
		return found;
	};

	return {
		templates: named,
		render(messages, options = {}) {
			const { tools, pythonTools, thinking, documents, templateName } = options;
			const hasTools = tools !== undefined && tools.length > 0;
			const { template, habits } = find(
				templateName ??
					(hasTools && Object.hasOwn(named, "tool_use")
						? "tool_use"
						: "default"),
			);
			const rendered = (given: readonly Message[]) =>
				template(
					{
						...specialTokens(),
						messages: templateMessages(given, habits),
						// Absent, but defined: templates written for transformers tell the two apart.
						tools: hasTools ? tools : null,
						documents: documents ?? null,
						python_tools: pythonTools,
						enable_thinking: thinking,
						add_generation_prompt: options.addGenerationPrompt ?? false,
						...options.templateVariables,
					},
					options.date ?? new Date(),
				);
			return options.continueFinalMessage
				? continued(messages, options, rendered)
				: rendered(messages);
		},
	};
}

interface Compiled {
	readonly template: Template;
	readonly habits: TemplateHabits;
}

function habitsOf(
	source: string,
	template: Template,
	images: boolean,
): TemplateHabits {
	let objectArguments: boolean | undefined;
	return {
		images,
		knowsPart: (type) =>
			source.includes(`"${type}"`) || source.includes(`'${type}'`),
		objectArguments() {
			objectArguments ??= wantsObjectArguments(template);
			return objectArguments;
		},
	};
}

/** Tries both ways: whether text as arguments fails where an object does not, or comes out quoted once more. */
function wantsObjectArguments(template: Template): boolean {
	const probe = (args: unknown): string | undefined => {
		const call = { name: "probe", arguments: args };
		const messages = [
			{ role: "user", content: "probe" },
			{
				role: "assistant",
				content: "",
				tool_calls: [{ id: "call00000", type: "function", function: call }],
			},
		];
		try {
			return template(
				{
					messages,
					tools: null,
					documents: null,
					add_generation_prompt: false,
				},
				new Date(0),
			);
		} catch {
			return undefined;
		}
	};
	const text = probe('{"key": "value"}');
	return text === undefined
		? probe({ key: "value" }) !== undefined
		: text.includes('\\"key\\"');
}

/** Marks the end of the last message, and cuts there. Its space shows whether the template trims contents. */
const END = "\u{F8FF}end of the final message\u{F8FF} ";

function continued(
	messages: readonly Message[],
	options: RenderOptions,
	render: (messages: readonly Message[]) => string,
): string {
	if (options.addGenerationPrompt) {
		throw new OptionError(
			"addGenerationPrompt and continueFinalMessage: a prompt either begins a message or continues one",
		);
	}
	const last = messages.at(-1);
	const content = last?.content;
	if (last === undefined || typeof content !== "string") {
		throw new OptionError(
			"continueFinalMessage: the last message has no text to continue",
		);
	}
	const text = render([
		...messages.slice(0, -1),
		{ ...last, content: content + END },
	]);
	const at = text.lastIndexOf(END.trimEnd());
	if (at < 0) {
		throw new OptionError(
			"continueFinalMessage: the chat template leaves the last message out",
		);
	}
	return text.startsWith(END, at)
		? text.slice(0, at)
		: text.slice(0, at).trimEnd();
}
