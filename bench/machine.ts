import { cpus, loadavg, release, type } from "node:os";

/** What a measurement has to be read with. */
export interface Machine {
	readonly processor: string;
	readonly cores: number;
	readonly system: string;
	readonly date: string;
}

export function thisMachine(): Machine {
	const all = cpus();
	return {
		processor: all[0]?.model.trim() ?? "unknown",
		cores: all.length,
		system: `${type()} ${release()}`,
		date: new Date().toISOString().slice(0, 16),
	};
}

/** Programs that wanted a core during the last minute, on average. */
export const load = (): number => loadavg()[0]!;
