import { CheckpointError } from "../errors.ts";
import {
	type ChatTemplate,
	type ChatTemplates,
	createChatTemplate,
} from "./chat-template.ts";
import type { GgufMetadata } from "./gguf-keys.ts";
import { createGgufTokenizer, ggufChatTemplates } from "./gguf-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer-json.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a checkpoint says about text: the files of a Hugging Face folder, or the metadata of a GGUF file. */
export type TextFiles =
	| {
			readonly kind: "files";
			/** tokenizer.json */
			readonly tokenizer: Json;
			/** tokenizer_config.json; empty where there is none. */
			readonly config: Json;
			/** chat_template.jinja, which wins over the config's `chat_template`. */
			readonly chatTemplate?: string | undefined;
			/** The files of additional_chat_templates/, by name without ending. */
			readonly namedChatTemplates?: ChatTemplates | undefined;
	  }
	| { readonly kind: "gguf"; readonly metadata: GgufMetadata };

export interface TextOptions {
	/**
	 * Whether the model sees images.
	 * @default false
	 */
	readonly images?: boolean;
	/** The checkpoint, for error messages. */
	readonly where?: string;
}

/** The tokenizer of a checkpoint, and its chat template if it has one. */
export function createTokenizerFrom(
	files: TextFiles,
	{ images = false, where }: TextOptions = {},
): { tokenizer: Tokenizer; chatTemplate: ChatTemplate | undefined } {
	const tokenizer =
		files.kind === "gguf"
			? createGgufTokenizer(files.metadata, where)
			: createTokenizer(files);
	const templates =
		files.kind === "gguf"
			? ggufChatTemplates(files.metadata)
			: templatesOf(files);
	if (!templates) return { tokenizer, chatTemplate: undefined };
	const chatTemplate = createChatTemplate(templates, {
		specialTokens: () => tokenizer.specialTokens,
		images,
		...(where !== undefined && { where: `${where}: chat template` }),
	});
	return { tokenizer, chatTemplate };
}

/**
 * tokenizer_config.json has one template, or a list of named ones. chat_template.jinja replaces them all, and the files of
 * additional_chat_templates/ those of their names.
 */
function templatesOf({
	config,
	chatTemplate,
	namedChatTemplates,
}: Extract<TextFiles, { kind: "files" }>): ChatTemplates | undefined {
	const given = chatTemplate ?? config.chat_template;
	const templates: Record<string, string> = {};
	if (typeof given === "string") templates.default = given;
	else if (Array.isArray(given)) {
		for (const { name, template } of given as Json[]) {
			if (typeof name !== "string" || typeof template !== "string") {
				throw new CheckpointError(
					"tokenizer_config.json: chat_template is a list, but not of objects with a name and a template",
				);
			}
			templates[name] = template;
		}
	}
	Object.assign(templates, namedChatTemplates);
	return Object.keys(templates).length > 0 ? templates : undefined;
}
