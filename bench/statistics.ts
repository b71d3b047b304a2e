import type { Phase } from "./contender.ts";

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1
		? sorted[middle]!
		: (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Tokens per second of one phase over several rounds. */
export interface Speed {
	readonly best: number;
	readonly median: number;
	/** Per second of all threads on a core, the best round: what other programs on the machine disturb least. */
	readonly perCpuSecond: number;
}

export function speedOf(phases: readonly Phase[]): Speed {
	const rates = phases.map(({ tokens, ms }) => (1000 * tokens) / ms);
	return {
		best: Math.max(...rates),
		median: median(rates),
		perCpuSecond: Math.max(
			...phases.map(({ tokens, cpuMs }) => (1000 * tokens) / cpuMs),
		),
	};
}
