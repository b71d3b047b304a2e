import type { EngineOptions } from "./engine.ts";
import { Graph } from "./graph.ts";
import { PAGE_POSITIONS, pageBytes } from "./layouts.ts";
import { align } from "./memory.ts";
import type { Tensor } from "./operands.ts";
import { PAGE_UNIT_BYTES } from "./pages.ts";
import { recordSteps } from "./recordings.ts";
import { columns } from "./rows.ts";
import { schedule } from "./schedule.ts";

/** Memory that an engine takes besides its weights, in all banks together. */
export interface Footprint {
	/** For steps: activations, scratch memory and tables. */
	readonly stepBytes: number;
	/** For keys and values of one text as long as the context. */
	readonly cacheBytes: number;
}

type Sizes = Pick<EngineOptions, "record" | "cache" | "limits" | "encoder"> & {
	/** Parts that share each step. */
	readonly parts: number;
};

/** Records what an engine with these options would, and counts what it would allocate. */
export function measureFootprint(options: Sizes, banks: number): Footprint {
	const { encoder, parts } = options;
	const recordings = recordSteps(options);
	const { graph } = recordings[0]!;
	let stepBytes = tableBytes(graph, options, banks);
	const measure = (
		graph: Graph,
		results: readonly Tensor[],
		capacity: { rows: number; outputs: number },
		few = false,
	) =>
		schedule(graph, results, {
			parts,
			banks,
			capacity,
			few,
			allocate(_bank, bytes) {
				stepBytes += align(bytes);
				return 0;
			},
			resolve: () => 0,
			pages: { pages: 0, page_bytes: 0 },
		});
	for (const { graph, logits, capacity, few } of recordings)
		measure(graph, [logits], capacity, few);
	if (encoder) {
		const graph = new Graph();
		const { input, output } = encoder.record(graph);
		measure(graph, [input, output], encoder);
	}
	return { stepBytes, cacheBytes: cacheBytes(graph, options) };
}

/** What the host writes before each step, in every bank. */
function tableBytes(
	graph: Graph,
	{ encoder, limits }: Sizes,
	banks: number,
): number {
	const numbers = (count: number) => align(4 * count);
	const { rows, outputs, sequences, contextTokens } = limits;
	const pages = Math.ceil(contextTokens / PAGE_POSITIONS);
	const windows = new Set([...graph.caches.values()].map((c) => c.window));
	const perBank = [
		...columns.map((name) => numbers(name === "output" ? outputs : rows)),
		...[...windows].map(() => numbers(sequences * pages)),
		...graph.ropes().map((rope) => numbers(rope.d / 2)),
		encoder ? numbers(encoder.rows) : 0,
	].reduce((sum, bytes) => sum + bytes, 0);
	return banks * perBank + (graph.soft ? numbers(graph.soft.d * rows) : 0);
}

/** A layer with a window keeps what it can still see, and what the step adds. */
function cacheBytes(graph: Graph, { limits }: Sizes): number {
	const caches = [...graph.caches.values()];
	const all = Math.ceil(limits.contextTokens / PAGE_POSITIONS);
	let total = 0;
	for (const window of new Set(caches.map((c) => c.window))) {
		const visible = window + limits.rows + PAGE_POSITIONS - 1;
		const pages =
			window === 0 ? all : Math.min(all, Math.ceil(visible / PAGE_POSITIONS));
		const bankBytes = new Map<number, number>();
		for (const { bank, kvHeads, d } of caches.filter(
			(c) => c.window === window,
		))
			bankBytes.set(
				bank,
				(bankBytes.get(bank) ?? 0) + pageBytes(graph.cacheType, kvHeads, d),
			);
		for (const bytes of bankBytes.values())
			total += pages * align(bytes + PAGE_UNIT_BYTES);
	}
	return total;
}
