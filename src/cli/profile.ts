import type { StepProfile } from "../runtime/server.ts";

/** The mean of the fastest steps of the same number of rows: those that other programs on the machine disturbed least. */
export interface ProfileSummary {
	readonly rows: number;
	/** How many there were, and how many of them the means are over. */
	readonly steps: number;
	readonly fastest: number;
	readonly parts: number;
	/** One step for the host, and the program in it. */
	readonly stepMs: number;
	readonly programMs: number;
	/** From the end of the step before: choosing a token, and whatever else happens between steps of this kind. */
	readonly betweenMs: number;
	/** Calls of kernels, and waits for other parts, in one step. */
	readonly calls: number;
	readonly barriers: number;
	/** By kernel and size of the weight matrix, the longest first. */
	readonly kernels: readonly KernelTime[];
	readonly waitMs: number;
}

export interface KernelTime {
	readonly kernel: string;
	readonly size: string | undefined;
	readonly calls: number;
	readonly ms: number;
}

/** Which share of the steps is fast. */
const FASTEST = 1 / 4;

/** Means over the fastest steps of each number of rows, fewest rows first. */
export function summarize(profiles: readonly StepProfile[]): ProfileSummary[] {
	return [...new Set(profiles.map((p) => p.rows))]
		.sort((a, b) => a - b)
		.map((rows) => ({
			...mean(profiles.filter((p) => p.rows === rows)),
			betweenMs: meanGap(profiles, rows),
		}));
}

function fastest<T>(all: readonly T[], ms: (each: T) => number): T[] {
	return [...all]
		.sort((a, b) => ms(a) - ms(b))
		.slice(0, Math.ceil(all.length * FASTEST));
}

/** From one step of `rows` rows to the next one, where no other step lies between. */
function meanGap(profiles: readonly StepProfile[], rows: number): number {
	const gaps = profiles.flatMap((step, i) =>
		step.rows === rows && profiles[i - 1]?.rows === rows
			? [step.betweenMs!]
			: [],
	);
	const kept = fastest(gaps, (gap) => gap);
	return kept.reduce((sum, gap) => sum + gap, 0) / Math.max(1, kept.length);
}

function mean(all: readonly StepProfile[]): Omit<ProfileSummary, "betweenMs"> {
	const profiles = fastest(all, (p) => p.stepMs);
	const steps = profiles.length;
	const [{ rows, parts, instructions }] = profiles as [StepProfile];
	const over = (value: (profile: StepProfile) => number) =>
		profiles.reduce((sum, profile) => sum + value(profile), 0) / steps;
	const kernels = new Map<string, KernelTime>();
	for (const { kernel, size, ms } of profiles.flatMap((p) =>
		p.instructions.flatMap((i) => i.calls),
	)) {
		const key = `${kernel} ${size}`;
		const known = kernels.get(key) ?? { calls: 0, ms: 0 };
		kernels.set(key, {
			kernel,
			size,
			calls: known.calls + 1 / steps,
			ms: known.ms + ms / steps,
		});
	}
	return {
		rows,
		steps: all.length,
		fastest: steps,
		parts,
		stepMs: over((p) => p.stepMs),
		programMs: over((p) => p.programMs),
		calls: instructions.reduce((sum, i) => sum + i.calls.length, 0),
		barriers: parts > 1 ? instructions.length : 0,
		kernels: [...kernels.values()].sort((a, b) => b.ms - a.ms),
		waitMs: over((p) => p.instructions.reduce((sum, i) => sum + i.waitMs, 0)),
	};
}

/** A table for people: every kernel, then what part 0 did besides. */
export function printProfile(summary: ProfileSummary): string {
	const { rows, steps, fastest, parts } = summary;
	const { stepMs, programMs, calls, barriers } = summary;
	const inKernels = summary.kernels.reduce((sum, k) => sum + k.ms, 0);
	const line = (name: string, size: string, count: string, ms: number) =>
		[
			name.padEnd(28),
			size.padStart(12),
			count.padStart(7),
			ms.toFixed(3).padStart(10),
			((100 * ms) / stepMs).toFixed(1).padStart(7),
		].join("");
	return [
		`${rows} ${rows === 1 ? "row" : "rows"}: ${stepMs.toFixed(3)} ms a step, mean of the fastest ${fastest} of ${steps}, on part 0 of ${parts}`,
		`${"".padEnd(28)}${"n×k".padStart(12)}${"calls".padStart(7)}${"ms".padStart(10)}${"%".padStart(7)}`,
		...summary.kernels.map(({ kernel, size, calls, ms }) =>
			line(kernel, size ?? "", String(Math.round(calls)), ms),
		),
		line("waiting for other parts", "", String(barriers), summary.waitMs),
		line(
			"between calls",
			"",
			String(calls),
			programMs - inKernels - summary.waitMs,
		),
		line("around the program", "", "", stepMs - programMs),
		line("between steps", "", "", summary.betweenMs),
	].join("\n");
}
