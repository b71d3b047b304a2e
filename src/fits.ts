import { EngineError } from "./errors.ts";

/** Smaller ways to store a model that are commonly published, with their bits per weight. */
const SMALLER = { Q8_0: 8.5, Q4_K_M: 4.85, Q4_0: 4.55 } as const;
const GIB = 2 ** 30;
/** What a model takes besides its weights: activations, tables, kernels and the first keys and values. */
const OVERHEAD_BYTES = 0.3 * GIB;

/** Whether the weights are loaded, and leave enough for the rest. Undefined where nobody knows what is free. */
export function fitsInto(
	freeBytes: number | undefined,
	weightBytes: number,
	otherBytes: number,
): boolean | undefined {
	if (freeBytes === undefined) return undefined;
	return weightBytes + Math.max(otherBytes, OVERHEAD_BYTES) <= freeBytes;
}

/**
 * Refuses weights that the system has no memory for, before it starts to swap or ends the process.
 * @param freeBytes what the system can still give; undefined where it does not say, and then nothing is checked
 * @throws EngineError that says how much is needed, how much there is, and what would fit
 */
export function checkFits(
	name: string,
	weightBytes: number,
	parameters: number,
	freeBytes: number | undefined,
): void {
	const needed = weightBytes + OVERHEAD_BYTES;
	if (freeBytes === undefined || needed <= freeBytes) return;
	const gib = (bytes: number) => `${(bytes / GIB).toFixed(1)} GiB`;
	const fitting = Object.entries(SMALLER).find(
		([, bits]) => (parameters * bits) / 8 + OVERHEAD_BYTES <= freeBytes,
	);
	const advice = fitting
		? `as ${fitting[0]} it would need ${gib((parameters * fitting[1]) / 8 + OVERHEAD_BYTES)}`
		: "no common way to store it is small enough";
	throw new EngineError(
		`${name}: needs ${gib(needed)} of memory, ${gib(freeBytes)} are free; ${advice}`,
	);
}
