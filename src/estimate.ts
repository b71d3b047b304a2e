import { cutBatches, stagingBytes } from "./batches.ts";
import { measureFootprint } from "./engine/footprint.ts";
import { fitsInto } from "./fits.ts";
import type { ModelPlan, StepPlan } from "./plan.ts";

/** What loading a checkpoint and running it takes, found without reading its weights. */
export interface Estimate {
	/** Stored bytes of the weights that loading reads. Of a model that is not on this machine they are fetched. */
	readonly downloadBytes: number;
	/** Bytes of the weights in memory. */
	readonly weightBytes: number;
	/** Tokens of prompt and answer together that `cacheBytes` is for: the option, or what the model was made for. */
	readonly contextTokens: number;
	/** Keys and values of one text of `contextTokens`; a shorter one takes less, because memory is taken as tokens come. */
	readonly cacheBytes: number;
	/** What steps compute with: activations, tables, and scratch memory of each thread. */
	readonly activationBytes: number;
	/**
	 * Sum of the three above or, for a small model with a short text, of its weights and what they are staged in while it
	 * loads. The runtime itself, with the compiled kernels and the tokenizer, comes on top.
	 */
	readonly totalBytes: number;
	/** Whether the system can give that much now, and something for the runtime; undefined where it does not say. */
	readonly fits: boolean | undefined;
}

/** @param freeBytes what the system can still give; undefined where it does not say */
export function estimate(
	plan: ModelPlan,
	steps: StepPlan,
	freeBytes: number | undefined,
): Estimate {
	const { weightBytes } = plan;
	const { stepBytes, cacheBytes } = measureFootprint(
		{
			...steps,
			parts: steps.threads,
			record: plan.record,
			encoder: plan.encoder,
		},
		steps.banks,
	);
	const stagedBytes = steps.banks * stagingBytes(cutBatches(plan.weights));
	const otherBytes = Math.max(cacheBytes + stepBytes, stagedBytes);
	const stored = new Set(plan.weights.flatMap(({ matrix }) => matrix.tensors));
	return {
		downloadBytes: [...stored].reduce((sum, { bytes }) => sum + bytes, 0),
		weightBytes,
		contextTokens: steps.limits.contextTokens,
		cacheBytes,
		activationBytes: stepBytes,
		totalBytes: weightBytes + otherBytes,
		fits: fitsInto(freeBytes, weightBytes, otherBytes),
	};
}
