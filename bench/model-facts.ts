import { statSync } from "node:fs";
import {
	type Layout,
	type LayoutInfo,
	layouts,
} from "../src/engine/layouts.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { planModel, type SizeOptions } from "../src/plan.ts";
import { openPath } from "../src/runtime/files.ts";
import { weightsFile } from "./model-file.ts";

/** What is known of a model before it is loaded. */
export interface ModelFacts {
	/** Weights, not counting what is tied twice. */
	readonly parameters: number;
	readonly fileBytes: number;
	/** Bytes of the weights in memory. */
	readonly weightBytes: number;
	/** Of these, what a step of one row reads: all but an embedding that is not the output too. */
	readonly stepBytes: number;
	/** Kernels that multiply by its matrices, by the bytes that they read of them, the most first. */
	readonly kernels: readonly string[];
}

/** @param options what it would be loaded with */
export async function modelFacts(
	path: string,
	options: Pick<SizeOptions, "activations"> = {},
): Promise<ModelFacts> {
	const from = await openPath(path);
	if (from === undefined) throw new Error(`${path} is missing`);
	const checkpoint = await openCheckpoint(from);
	try {
		const { weights, parameters, weightBytes } = await planModel(
			checkpoint,
			options,
		);
		const isTied = !weights.some(({ weight }) => /lm_head/.test(weight.name));
		const read = weights.filter(
			({ weight }) => isTied || !/embed_tokens/.test(weight.name),
		);
		const bytes = new Map<string, number>();
		for (const { weight, bytes: own } of read) {
			if (weight.shape.length === 1) continue;
			const info: LayoutInfo = layouts[weight.layout as Layout];
			bytes.set(info.gemm, (bytes.get(info.gemm) ?? 0) + own);
		}
		return {
			parameters,
			fileBytes: statSync(weightsFile(path)).size,
			weightBytes,
			stepBytes: read.reduce((sum, { bytes }) => sum + bytes, 0),
			kernels: [...bytes].sort(([, a], [, b]) => b - a).map(([name]) => name),
		};
	} finally {
		await checkpoint.close();
	}
}
