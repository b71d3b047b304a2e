import { compileFor } from "./compile.ts";
import { createEngine, type Engine } from "./engine/engine.ts";
import { Memory } from "./engine/memory.ts";
import { createPool, type Pool } from "./engine/pool.ts";
import type { StepProfile } from "./engine/profile.ts";
import { OptionError } from "./errors.ts";
import { fillWeights } from "./fill.ts";
import { checkFits } from "./fits.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import { withVision } from "./formats/mmproj.ts";
import { openCheckpoint } from "./formats/open.ts";
import { createImages } from "./images.ts";
import type { LoadedModel } from "./model.ts";
import {
	checkSizes,
	type ModelPlan,
	planModel,
	planSteps,
	type SizeOptions,
	type StepPlan,
} from "./plan.ts";
import type { Runtime, Target } from "./runtime/runtime.ts";
import type { HubOptions } from "./sources/hub.ts";
import { type OpenedSource, openSource, type Source } from "./sources/open.ts";
import type { Repository } from "./sources/source.ts";
import { createTokenizerFrom } from "./text/open.ts";

export type { InstructionProfile, StepProfile } from "./engine/profile.ts";

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

export interface LoadOptions extends SizeOptions {
	/**
	 * Which build of the kernels runs.
	 * @default "relaxed" where the engine computes its instructions correctly, else "simd"
	 */
	readonly kernels?: Target | undefined;
	/** Where and how models on the Hugging Face Hub are had. */
	readonly hub?: HubOptions | undefined;
	/** Ends loading early; the promise then rejects with the signal's reason. */
	readonly signal?: AbortSignal | undefined;
	/** Called as the weights come in, at most about a hundred times per file. */
	readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
	/** Called after each step with where its time went. Measuring slows steps down by a few percent. */
	readonly onProfile?: ((profile: StepProfile) => void) | undefined;
	/** The checkpoint file within a folder, where it has several. @default model.safetensors, else the only GGUF file */
	readonly file?: string | undefined;
	/**
	 * The folder of config.json, the tokenizer and what else belongs to weights that do not have it beside them, often an
	 * ExecuTorch program. GGUF files have all that in them.
	 * @default the folder of the weights
	 */
	readonly config?: Source | undefined;
	/** The half that sees of a GGUF model that does: its file "mmproj-….gguf". @default none, the model then reads text only */
	readonly mmproj?: Source | undefined;
}

/** The whole way from a source to a model in memory. */
export async function load(
	runtime: Runtime,
	source: Source | undefined,
	options: LoadOptions,
): Promise<LoadedModel> {
	const start = performance.now();
	const { signal } = options;
	checkSizes(options);
	signal?.throwIfAborted();
	const checkpoint = await openBoth(runtime, source, options);
	try {
		const loaded = await loadCheckpoint(runtime, checkpoint, options);
		return {
			...loaded,
			info: { ...loaded.info, loadMs: performance.now() - start },
		};
	} finally {
		await checkpoint.close();
	}
}

/** The checkpoint, with the half that sees where it is a file of its own. The caller closes it. */
export async function openBoth(
	runtime: Runtime,
	source: Source | undefined,
	{ mmproj, ...options }: LoadOptions,
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
	options: LoadOptions,
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
	{ config, hub, onProgress, signal }: LoadOptions,
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
export async function findSource(
	runtime: Runtime,
	source: Source | undefined,
	{ file, hub, onProgress, signal }: LoadOptions,
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

async function loadCheckpoint(
	runtime: Runtime,
	checkpoint: Checkpoint,
	options: LoadOptions,
): Promise<LoadedModel> {
	const plan = await planModel(checkpoint, options);
	const { imageSizes, weights, weightBytes, parameters } = plan;
	const images =
		imageSizes &&
		createImages(
			imageSizes,
			checkpoint.processor ?? {},
			runtime,
			checkpoint.origins.processor,
		);
	checkFits(
		checkpoint.name,
		weightBytes,
		parameters,
		runtime.freeMemoryBytes?.(),
	);
	const text = { where: checkpoint.name, images: images !== undefined };
	const tokenizer =
		checkpoint.tokenizer && createTokenizerFrom(checkpoint.tokenizer, text);
	if (checkpoint.tokenizer) runtime.onTokenizer?.(checkpoint.tokenizer, text);
	const steps = planSteps(plan, options, runtime);
	const shared = steps.threads > 1;
	const { target, modules } = await compileFor(
		weights,
		runtime,
		shared,
		options.kernels,
	);
	const memories = Array.from(
		{ length: steps.banks },
		() => new Memory(shared),
	);
	const pool = await createPool(
		{ modules, memories: memories.map((m) => m.memory) },
		steps.threads,
		runtime.spawn,
	);
	const engine = await startEngine(
		pool,
		memories,
		checkpoint.name,
		plan,
		steps,
		options,
	);
	const schemes: Record<string, number> = {};
	for (const { matrix } of weights)
		schemes[matrix.scheme] = (schemes[matrix.scheme] ?? 0) + 1;
	return {
		engine,
		tokenizer: tokenizer?.tokenizer,
		chatTemplate: tokenizer?.chatTemplate,
		images,
		config: checkpoint.config,
		generationConfig: generationDefaults(checkpoint),
		generationFile: checkpoint.origins.generationConfig,
		yield: () => runtime.yield(),
		info: {
			name: checkpoint.name,
			architecture: plan.architecture,
			parameters,
			weightBytes,
			schemes,
			vocabularySize: plan.sizes.V,
			contextTokens: steps.limits.contextTokens,
			chats: tokenizer?.chatTemplate !== undefined,
			sees: images !== undefined,
			threads: pool.parts,
			threadLimit:
				pool.limit ??
				(pool.parts < (options.threads ?? Infinity)
					? runtime.threadLimit
					: undefined),
			kernels: target,
			banks: steps.banks,
			loadMs: 0,
		},
	};
}

/** Fills the memories and has the pool take up the steps. Stops the pool where that fails. */
async function startEngine(
	pool: Pool,
	memories: readonly Memory[],
	name: string,
	plan: ModelPlan,
	steps: StepPlan,
	{ signal, onProgress, onProfile }: LoadOptions,
): Promise<Engine> {
	const { weights, weightBytes, record, encoder } = plan;
	try {
		const stored = weights.reduce((sum, p) => sum + p.matrix.bytes, 0);
		const onBytes = progressReporter(name, stored, onProgress);
		await fillWeights(weights, memories, pool, { signal, onBytes });
		const engine = await createEngine({
			...steps,
			pool,
			memories,
			record,
			encoder,
			onProfile,
		});
		onProgress?.({
			status: "ready",
			file: name,
			loaded: weightBytes,
			total: weightBytes,
			progress: 100,
		});
		return engine;
	} catch (error) {
		await pool.stop();
		throw error;
	}
}

/** generation_config.json over the end-of-sequence entry of config.json, which older checkpoints keep there. */
function generationDefaults({
	config,
	generationConfig,
}: Checkpoint): Readonly<Record<string, unknown>> {
	return { eos_token_id: config.eos_token_id, ...generationConfig };
}

/** Reports at most one event per percent. */
function progressReporter(
	file: string,
	total: number,
	onProgress: LoadOptions["onProgress"],
): (bytes: number) => void {
	let loaded = 0;
	let reported = 0;
	onProgress?.({ status: "initiate", file, loaded, total, progress: 0 });
	return (bytes) => {
		loaded += bytes;
		const progress = total === 0 ? 100 : (100 * loaded) / total;
		if (progress - reported < 1 && loaded < total) return;
		reported = progress;
		onProgress?.({
			status: loaded < total ? "progress" : "done",
			file,
			loaded,
			total,
			progress,
		});
	};
}
