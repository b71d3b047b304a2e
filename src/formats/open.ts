import { CheckpointError, OptionError, SourceError } from "../errors.ts";
import { isGgufModel } from "../gguf-conventions.ts";
import type { ByteSource, Repository } from "../sources/source.ts";
import type { Checkpoint, Contents, Folder, Format } from "./checkpoint.ts";
import {
	filesOf,
	type Neighbourhood,
	readAll,
	readCompanions,
} from "./companions.ts";
import { gguf } from "./gguf.ts";
import { parseJson } from "./json.ts";
import { pte } from "./pte-checkpoint.ts";
import { safetensors } from "./safetensors.ts";
import { openShards } from "./shards.ts";
import { torch } from "./torch.ts";

const formats: readonly Format[] = [safetensors, gguf, torch, pte];

/** Where the weights of a repository are, by preference; without any of these, in its one GGUF file. */
const MAIN_FILES = [
	"model.safetensors",
	"model.safetensors.index.json",
	"pytorch_model.bin",
	"pytorch_model.bin.index.json",
];
const INDEX = ".index.json";
const HEAD_BYTES = 16;

export interface OpenOptions {
	/**
	 * The file with the weights, relative to the repository: a checkpoint of any format, the index of a sharded one, or
	 * the first part of a split GGUF. The other files are looked for in the same folder.
	 * @default model.safetensors or its index, else pytorch_model.bin or its index, else the only GGUF model
	 */
	readonly file?: string;
	/**
	 * Where config.json and the files that belong to it are. GGUF files have none.
	 * @default beside the weights
	 */
	readonly companions?: Repository;
}

/**
 * Opens a checkpoint; its first bytes say what it is. safetensors and torch files need config.json beside them, and have
 * an empty config when they are opened as a lone source. GGUF files speak for themselves; ExecuTorch programs say why no model
 * can be loaded from them, as far as that is so.
 * The checkpoint owns what it opened, and a lone source too: `close` closes them, and so does an error.
 */
export async function openCheckpoint(
	from: Repository | ByteSource,
	options: OpenOptions = {},
): Promise<Checkpoint> {
	const opened: ByteSource[] = [];
	const close = async () => {
		for (const source of opened.splice(0)) await source.close?.();
	};
	try {
		if ("open" in from)
			return { ...(await openRepository(from, options, opened)), close };
		opened.push(from);
		const { name } = from;
		const file = name.slice(name.lastIndexOf("/") + 1);
		const alone: Folder = { file, open: async () => undefined };
		const found = await openFile(from, alone);
		const beside =
			options.companions && neighbourhood(options.companions, "", opened);
		return { ...(await described(found, name, beside)), close };
	} catch (error) {
		await close();
		throw error;
	}
}

/** What a container that does not speak of it leaves open. */
const unknown = (where: string) => ({
	config: {},
	generationConfig: {},
	origins: filesOf(where),
	tokenizer: undefined,
});

async function openRepository(
	repository: Repository,
	{ file, companions }: OpenOptions,
	opened: ByteSource[],
): Promise<Omit<Checkpoint, "close">> {
	const paths = file === undefined ? await mainFiles(repository) : [file];
	for (const path of paths) {
		const slash = path.lastIndexOf("/") + 1;
		const beside = neighbourhood(repository, path.slice(0, slash), opened);
		const folder: Folder = { file: path.slice(slash), open: beside.open };
		const source = await folder.open(folder.file);
		if (!source) continue;
		const found = path.endsWith(INDEX)
			? await openIndex(source, folder)
			: await openFile(source, folder);
		const elsewhere = companions && neighbourhood(companions, "", opened);
		return described(found, repository.name, elsewhere, beside);
	}
	throw new SourceError(
		`${repository.name}: there is no ${paths.join(", no ")}${file === undefined ? "; if the weights have another name, say it with `file`" : ""}`,
	);
}

/** The files of a folder, "" or one that ends in "/". What it opens is added to `opened`. */
function neighbourhood(
	repository: Repository,
	folder: string,
	opened: ByteSource[],
): Neighbourhood {
	return {
		name: repository.name,
		async open(file) {
			const source = await repository.open(folder + file);
			if (source) opened.push(source);
			return source;
		},
		list: (inside) => listBelow(repository, `${folder}${inside}/`),
	};
}

/**
 * A container with its companions: what lies in the folder that was named for them, or beside it. Throws CheckpointError
 * where config.json is missing, for containers that are nothing without it, and in a folder that was named.
 */
async function described(
	{ container, contents }: Opened,
	name: string,
	named: Neighbourhood | undefined,
	beside?: Neighbourhood,
): Promise<Omit<Checkpoint, "close">> {
	const { complete, ...alone } = contents;
	if (contents.config) {
		if (named)
			throw new OptionError(
				`config is ${named.name}, but ${name} has its configuration in itself`,
			);
		return { ...unknown(name), ...alone, container, name };
	}
	const folder = named ?? beside;
	const companions = folder && (await readCompanions(folder));
	if (folder && !companions && (named || !complete))
		throw new CheckpointError(
			`${folder.name}: config.json is missing; weights of this format cannot be used without it`,
		);
	const completed = companions && (await complete?.(companions.config));
	return {
		...(companions ?? unknown(name)),
		...alone,
		...completed,
		container,
		name,
	};
}

/** Names below a folder that ends in "/", relative to it. */
async function listBelow(
	repository: Repository,
	folder: string,
): Promise<readonly string[] | undefined> {
	const names = await repository.list(folder.slice(0, -1));
	return names
		?.filter((name) => name.startsWith(folder))
		.map((name) => name.slice(folder.length));
}

const readHead = (source: ByteSource): Promise<Uint8Array> =>
	source.read(0, Math.min(HEAD_BYTES, source.size));

interface Opened {
	readonly container: Checkpoint["container"];
	readonly contents: Contents;
}

async function openFile(source: ByteSource, folder: Folder): Promise<Opened> {
	const head = await readHead(source);
	const format = formats.find((format) => format.matches(head));
	if (!format) {
		const start = Array.from(head, (byte) =>
			byte.toString(16).padStart(2, "0"),
		);
		throw new CheckpointError(
			`${source.name}: neither safetensors nor GGUF nor a PyTorch file: ${source.size} bytes that start with ${start.join(" ") || "nothing"}`,
		);
	}
	return {
		container: format.name,
		contents: await format.open(source, folder),
	};
}

async function openIndex(source: ByteSource, folder: Folder): Promise<Opened> {
	const index = parseJson(await readAll(source), source.name);
	const containers = new Set<Checkpoint["container"]>();
	const contents = await openShards(index, folder, async (shard) => {
		const file = await openFile(shard, { ...folder, file: shard.name });
		containers.add(file.container);
		return file.contents;
	});
	const [container, other] = containers;
	if (!container || other)
		throw new CheckpointError(
			`${source.name}: ${other ? `names files of the formats ${container} and ${other}` : "names no file"}`,
		);
	return { container, contents };
}

/** Where the weights may be: what the repository's listing shows, or all the usual places if it cannot be listed. */
async function mainFiles(repository: Repository): Promise<readonly string[]> {
	const names = await repository.list();
	if (!names) return MAIN_FILES;
	const main = MAIN_FILES.find((name) => names.includes(name));
	if (main) return [main];
	const models = names.filter(isGgufModel);
	if (models.length === 1) return models;
	const [program] = names.filter((name) => /\.pte$/i.test(name));
	throw new SourceError(
		models.length === 0
			? `${repository.name}: holds no checkpoint: neither ${MAIN_FILES.join(", ")} nor a .gguf file${program === undefined ? "" : `, only programs for ExecuTorch such as ${program}, which \`file\` has to name`}`
			: `${repository.name}: holds ${models.length} models (${models.slice(0, 8).join(", ")}); say which with \`file\`, or on the Hub by a part of its name: owner/name:Q4_K_M`,
	);
}
