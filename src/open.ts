import { OptionError } from "./errors.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import { withVision } from "./formats/mmproj.ts";
import { openCheckpoint } from "./formats/open.ts";
import type { Runtime } from "./runtime/runtime.ts";
import type { HubOptions } from "./sources/hub.ts";
import { type OpenedSource, openSource, type Source } from "./sources/open.ts";
import type { Repository } from "./sources/source.ts";

/**
 * What happens while a model loads, in the shape that users of transformers.js know: to each file of the Hub that is
 * fetched, and to the checkpoint as its weights are read.
 */
export interface LoadProgress {
	/** "initiate": looked for; "download": not here, will be fetched; "done": here; "ready": the model can be used. */
	readonly status: "initiate" | "download" | "progress" | "done" | "ready";
	/** The file in its repository, or the name of the checkpoint. */
	readonly file: string;
	/** Bytes of the file, or of weights, so far. */
	readonly loaded: number;
	/** Bytes of the file, or of weights, in all. */
	readonly total: number;
	/** loaded / total in percent, 0 to 100. */
	readonly progress: number;
}

/** How a checkpoint is found and opened; what else `load` takes is about running it. */
export interface SourceOptions {
	/** Where and how models on the Hugging Face Hub are had. */
	readonly hub?: HubOptions | undefined;
	/** Ends loading early; the promise then rejects with the signal's reason. */
	readonly signal?: AbortSignal | undefined;
	/** Called as the weights come in, at most about a hundred times per file. */
	readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
	/** The checkpoint file within a folder, where it has several. @default model.safetensors, else the only GGUF file */
	readonly file?: string | undefined;
	/**
	 * The folder of config.json, the tokenizer and what else belongs to weights that do not have it beside them, often an
	 * ExecuTorch program. GGUF files have all that in them.
	 * @default the folder of the weights
	 */
	readonly config?: Source | undefined;
}

/**
 * The checkpoint, with the half that sees where it is a file of its own. The caller closes it.
 * Rejects with SourceError, CheckpointError, OptionError, or the signal's reason.
 */
export async function openBoth(
	runtime: Runtime,
	source: Source | undefined,
	{ mmproj, ...options }: SourceOptions & { mmproj?: Source | undefined },
): Promise<Checkpoint> {
	const text = await openFrom(runtime, source, options);
	if (mmproj === undefined) return text;
	const opened = [text];
	try {
		const { hub, onProgress, signal } = options;
		const vision = await openFrom(runtime, mmproj, { hub, onProgress, signal });
		opened.push(vision);
		return withVision(text, vision);
	} catch (error) {
		for (const checkpoint of opened) await checkpoint.close();
		throw error;
	}
}

/** The checkpoint that a source stands for. The caller closes it. */
export async function openFrom(
	runtime: Runtime,
	source: Source | undefined,
	options: SourceOptions,
): Promise<Checkpoint> {
	const companions = await findFolder(runtime, options);
	const { from, file } = await findSource(runtime, source, options);
	return openCheckpoint(from, {
		...(file !== undefined && { file }),
		...(companions && { companions }),
	});
}

/** The folder that the option `config` stands for. */
async function findFolder(
	runtime: Runtime,
	{ config, hub, onProgress, signal }: SourceOptions,
): Promise<Repository | undefined> {
	if (config === undefined) return undefined;
	const { from } = await findSource(runtime, config, {
		hub,
		onProgress,
		signal,
	});
	if ("open" in from) return from;
	await from.close?.();
	throw new OptionError(
		`config is ${from.name}, a file; expected the folder of config.json`,
	);
}

/** Bytes or files that a source stands for, and which of the files is meant. */
async function findSource(
	runtime: Runtime,
	source: Source | undefined,
	{ file, hub, onProgress, signal }: SourceOptions,
): Promise<OpenedSource> {
	signal?.throwIfAborted();
	if (source === undefined) return { from: await runtime.embedded() };
	const found = await openSource(source, {
		openPath: runtime.openPath,
		surroundings: runtime.hub,
		hub,
		onProgress,
		signal,
	});
	return file === undefined ? found : { ...found, file };
}
