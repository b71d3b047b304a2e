import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { Checkpoint, Origins } from "./checkpoint.ts";
import { parseJson } from "./json.ts";

/** What lies beside the weights of a Hugging Face checkpoint. */
export type Companions = Pick<
	Checkpoint,
	"config" | "generationConfig" | "origins" | "tokenizer" | "processor"
>;

/** Where they lie. Names are relative to the folder of the weights. */
export interface Neighbourhood {
	/** What a person would call the folder, for error messages. */
	readonly name: string;
	/** Undefined where there is no such file. */
	open(file: string): Promise<ByteSource | undefined>;
	/** Files below a folder, relative to it; undefined where they cannot be listed. */
	list(folder: string): Promise<readonly string[] | undefined>;
}

const FILES = [
	"config.json",
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"chat_template.jinja",
	"chat_template.json",
	"preprocessor_config.json",
	"processor_config.json",
] as const;

/** Chat templates for special purposes, each in a file of its name. */
const TEMPLATES = "additional_chat_templates";
/** Where files cannot be listed: the one that is used without being asked for. */
const USUAL_TEMPLATES = ["tool_use.jinja"];
const MAX_TEMPLATES = 64;

/** The longest tokenizer.json known is 33 MB. */
const MAX_BYTES = 256 * 2 ** 20;

/** Reads config.json and what else there is; undefined where there is no config.json. */
export async function readCompanions(
	neighbourhood: Neighbourhood,
): Promise<Companions | undefined> {
	const where = neighbourhood.name;
	const templateFiles = await findTemplates(neighbourhood);
	const files = await readFiles(neighbourhood, [...FILES, ...templateFiles]);
	const json = (file: (typeof FILES)[number]) => {
		const bytes = files.get(file);
		return bytes && parseJson(bytes, `${where}: ${file}`);
	};

	const config = json("config.json");
	if (!config) return undefined;
	const tokenizer = json("tokenizer.json");
	const tokenizerConfig = json("tokenizer_config.json") ?? {};
	const jinja = files.get("chat_template.jinja");
	// Repositories of models with pictures have had the template here, and some nowhere else.
	const legacy = json("chat_template.json")?.chat_template;
	const chatTemplate = jinja
		? new TextDecoder().decode(jinja)
		: typeof legacy === "string" && !("chat_template" in tokenizerConfig)
			? legacy
			: undefined;
	const named = templateFiles.flatMap((file) => {
		const bytes = files.get(file);
		const name = file.slice(TEMPLATES.length + 1, -".jinja".length);
		return bytes ? [[name, new TextDecoder().decode(bytes)] as const] : [];
	});
	// Newer versions of transformers keep it in the other file.
	const processor =
		json("preprocessor_config.json") ??
		json("processor_config.json")?.image_processor;
	return {
		config,
		...(isObject(processor) && { processor }),
		generationConfig: json("generation_config.json") ?? {},
		origins: filesOf(where),
		tokenizer: tokenizer && {
			kind: "files",
			tokenizer,
			config: tokenizerConfig,
			...(chatTemplate !== undefined && { chatTemplate }),
			...(named.length > 0 && {
				namedChatTemplates: Object.fromEntries(named),
			}),
		},
	};
}

/** The files that configurations are in, wherever they are not in the weights' own. */
export const filesOf = (where: string): Origins => ({
	config: `${where}: config.json`,
	generationConfig: `${where}: generation_config.json`,
	processor: `${where}: preprocessor_config.json`,
});

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
	typeof value === "object" && value !== null && !Array.isArray(value);

async function findTemplates({
	list,
	name: where,
}: Neighbourhood): Promise<readonly string[]> {
	const all = (await list(TEMPLATES)) ?? USUAL_TEMPLATES;
	const names = all.filter((name) => /^[^/]+\.jinja$/.test(name));
	if (names.length > MAX_TEMPLATES)
		throw new CheckpointError(
			`${where}: ${TEMPLATES} holds ${names.length} chat templates, at most ${MAX_TEMPLATES} are read`,
		);
	return names.map((name) => `${TEMPLATES}/${name}`);
}

/** All at once, because over a network each costs a round trip; settled, so that none is left running by an error. */
async function readFiles(
	{ open }: Neighbourhood,
	names: readonly string[],
): Promise<Map<string, Uint8Array | undefined>> {
	const answers = await Promise.allSettled(
		names.map(async (name) => {
			const source = await open(name);
			return [name, source && (await readAll(source))] as const;
		}),
	);
	return new Map(
		answers.map((answer) => {
			if (answer.status === "rejected") throw answer.reason;
			return answer.value;
		}),
	);
}

/** All of a small file. */
export async function readAll(source: ByteSource): Promise<Uint8Array> {
	if (source.size > MAX_BYTES)
		throw new CheckpointError(
			`${source.name}: ${source.size} bytes, at most ${MAX_BYTES} are read of such a file`,
		);
	return source.read(0, source.size);
}
