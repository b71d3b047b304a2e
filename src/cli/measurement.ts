import process from "node:process";

/** A finite rate; 0 where nothing was done or no time passed. */
export function perSecond(count: number, ms: number): number {
	return count > 0 && ms > 0 ? (count * 1000) / ms : 0;
}

/** Largest resident memory of this process so far. */
export function peakMemoryBytes(): number {
	return process.resourceUsage().maxRSS * 1024;
}
