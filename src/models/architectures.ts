import { UnsupportedError } from "../errors.ts";
import type { Architecture, Sizes } from "./architecture.ts";
import { gemma3 } from "./gemma3.ts";
import { llama } from "./llama.ts";
import { smollm3 } from "./smollm3.ts";

/** Every model family, in one list. What C and W are is known to each family alone. */
const architectures = [
	llama,
	smollm3,
	gemma3,
] as unknown as readonly Architecture<Sizes, unknown>[];

/** The family that serves config.json's `architectures`. Throws UnsupportedError naming what was found and what is known. */
export function findArchitecture(
	config: Readonly<Record<string, unknown>>,
	file: string,
): { name: string; architecture: Architecture<Sizes, unknown> } {
	const wanted = config.architectures;
	for (const name of Array.isArray(wanted) ? wanted : []) {
		const architecture = architectures.find((a) => a.names.includes(name));
		if (architecture) return { name, architecture };
	}
	throw new UnsupportedError(
		`${file}: architectures is ${JSON.stringify(wanted)}, and model_type ${JSON.stringify(config.model_type)}, expected architectures to name one of ${architectures.flatMap((a) => a.names).join(", ")}`,
	);
}
