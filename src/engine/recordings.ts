import type { EngineOptions } from "./engine.ts";
import { Graph } from "./graph.ts";
import { ATTENTION_SEGMENT } from "./layouts.ts";
import type { Tensor } from "./operands.ts";

/** What a step computes, before it has addresses. */
export interface Recording {
	readonly graph: Graph;
	/** f32[O, V] */
	readonly logits: Tensor;
	/** Most rows of a step, and of those whose logits are wanted. */
	readonly capacity: { readonly rows: number; readonly outputs: number };
	/** Whether the program is for steps of few rows alone. */
	readonly few: boolean;
}

/** Steps of at most this many rows run a program of their own, in which parts share the keys of a row. */
const FEW_ROWS = 4;

/** Records a step of any size and, where several parts share it, a step of few rows. */
export function recordSteps({
	record,
	cache = "f32",
	limits,
	parts,
}: Pick<EngineOptions, "record" | "cache" | "limits"> & {
	readonly parts: number;
}): Recording[] {
	const recording = (few: boolean, segments: number): Recording => {
		const graph = new Graph(cache, segments);
		const rows = few ? Math.min(FEW_ROWS, limits.rows) : limits.rows;
		const capacity = { rows, outputs: Math.min(rows, limits.outputs) };
		return { graph, logits: record(graph), capacity, few };
	};
	const any = recording(false, 0);
	if (parts === 1) return [any];
	const segments = Math.ceil(limits.contextTokens / ATTENTION_SEGMENT);
	// A context of one segment has no keys to share.
	return [any, recording(true, segments > 1 ? segments : 0)];
}
