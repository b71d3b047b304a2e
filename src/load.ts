import { compileFor } from "./compile.ts";
import { createEngine, type Engine } from "./engine/engine.ts";
import { Memory } from "./engine/memory.ts";
import { createPool, type Pool } from "./engine/pool.ts";
import type { StepProfile } from "./engine/profile.ts";
import { fillWeights } from "./fill.ts";
import { checkFits } from "./fits.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import { createImages } from "./images.ts";
import type { LoadedModel } from "./model.ts";
import { openBoth, type SourceOptions } from "./open.ts";
import {
	checkSizes,
	type ModelPlan,
	planModel,
	planSteps,
	type SizeOptions,
	type StepPlan,
} from "./plan.ts";
import type { Runtime, Target } from "./runtime/runtime.ts";
import type { Source } from "./sources/open.ts";
import { createTokenizerFrom } from "./text/open.ts";

export type { InstructionProfile, StepProfile } from "./engine/profile.ts";

export interface LoadOptions extends SizeOptions, SourceOptions {
	/**
	 * Which build of the kernels runs.
	 * @default "relaxed" where the engine computes its instructions correctly, else "simd"
	 */
	readonly kernels?: Target | undefined;
	/** The half that sees of a GGUF model that does: its file "mmproj-….gguf". @default none, the model then reads text only */
	readonly mmproj?: Source | undefined;
	/** Called after each step with where its time went. Measuring slows steps down by a few percent. */
	readonly onProfile?: ((profile: StepProfile) => void) | undefined;
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
