import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { parseJson } from "./json.ts";

/** What lies beside the weights of a Hugging Face checkpoint. */
export type Companions = Pick<
	Checkpoint,
	"config" | "generationConfig" | "tokenizer" | "processor"
>;

type Open = (file: string) => Promise<ByteSource | undefined>;

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

/** The longest tokenizer.json known is 33 MB. */
const MAX_BYTES = 256 * 2 ** 20;

/** Reads config.json, which must be there, and what else there is. `where` names the folder in errors. */
export async function readCompanions(
	open: Open,
	where: string,
): Promise<Companions> {
	// All at once, because over a network each costs a round trip; settled, so that none is left running by an error.
	const answers = await Promise.allSettled(
		FILES.map((file) => readFile(open, file)),
	);
	const files = new Map<string, Uint8Array | undefined>();
	for (const [i, answer] of answers.entries()) {
		if (answer.status === "rejected") throw answer.reason;
		files.set(FILES[i] as string, answer.value);
	}
	const json = (file: (typeof FILES)[number]) => {
		const bytes = files.get(file);
		return bytes && parseJson(bytes, `${where}: ${file}`);
	};

	const config = json("config.json");
	if (!config)
		throw new CheckpointError(
			`${where}: config.json is missing; weights of this format cannot be used without it`,
		);
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
	// Newer versions of transformers keep it in the other file.
	const processor =
		json("preprocessor_config.json") ??
		json("processor_config.json")?.image_processor;
	return {
		config,
		...(isObject(processor) && { processor }),
		generationConfig: json("generation_config.json") ?? {},
		tokenizer: tokenizer && {
			kind: "files",
			tokenizer,
			config: tokenizerConfig,
			...(chatTemplate !== undefined && { chatTemplate }),
		},
	};
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
	typeof value === "object" && value !== null && !Array.isArray(value);

async function readFile(
	open: Open,
	file: string,
): Promise<Uint8Array | undefined> {
	const source = await open(file);
	return source && readAll(source);
}

/** All of a small file. */
export async function readAll(source: ByteSource): Promise<Uint8Array> {
	if (source.size > MAX_BYTES)
		throw new CheckpointError(
			`${source.name}: ${source.size} bytes, at most ${MAX_BYTES} are read of such a file`,
		);
	return source.read(0, source.size);
}
