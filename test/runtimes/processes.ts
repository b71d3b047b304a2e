import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";

/** What the processes that this one started take together. */
export interface Usage {
	/** Resident, counting what they share once for each. */
	readonly residentBytes: number;
	readonly threads: number;
}

/** Why this cannot be known here; undefined where it can. */
export const missingProc =
	process.platform === "linux" ? undefined : "there is no /proc";

/** Of all processes below this one, as Linux tells. */
export function usageBelow(): Usage {
	const statuses = readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map((pid) => statusOf(Number(pid)))
		.filter((status) => status !== undefined);
	const below = new Set([process.pid]);
	// A process may be listed before its parent.
	for (let known = 0; known < below.size; ) {
		known = below.size;
		for (const { pid, parent } of statuses)
			if (below.has(parent)) below.add(pid);
	}
	below.delete(process.pid);
	let residentBytes = 0;
	let threads = 0;
	for (const status of statuses)
		if (below.has(status.pid)) {
			residentBytes += status.residentBytes;
			threads += status.threads;
		}
	return { residentBytes, threads };
}

/** Undefined where the process has ended. */
function statusOf(pid: number) {
	let text: string;
	try {
		text = readFileSync(`/proc/${pid}/status`, "utf8");
	} catch {
		return undefined;
	}
	const number = (key: string) =>
		Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
	return {
		pid,
		parent: number("PPid"),
		residentBytes: 1024 * number("VmRSS"),
		threads: number("Threads"),
	};
}
