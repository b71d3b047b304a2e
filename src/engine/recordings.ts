import type { EngineOptions } from "./engine.ts";
import { Graph, type Tensor } from "./graph.ts";
import { ATTENTION_SEGMENT } from "./layouts.ts";

/** What a step computes, before it has addresses. */
export interface Recording {
	readonly graph: Graph;
	/** f32[O, V] */
	readonly logits: Tensor;
	/** Most rows of a step. */
	readonly rows: number;
}

/** Steps of at most this many rows run the program in which parts share the keys of a row. */
const FEW_ROWS = 4;

/** Records a step of any size, and where there are keys and parts to share them a step of few rows. */
export function recordSteps({
	record,
	cache = "f32",
	limits,
	parts,
}: Pick<EngineOptions, "record" | "cache" | "limits"> & {
	readonly parts: number;
}): Recording[] {
	const recording = (rows: number, segments: number): Recording => {
		const graph = new Graph(cache, segments);
		return { graph, logits: record(graph), rows };
	};
	const segments = Math.ceil(limits.contextTokens / ATTENTION_SEGMENT);
	// A context of one segment has no keys to share.
	const few = segments > 1 && parts > 1;
	return [
		recording(limits.rows, 0),
		...(few ? [recording(FEW_ROWS, segments)] : []),
	];
}
