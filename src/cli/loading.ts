import {
	type LoadOptions,
	Model,
	type SourceOptions,
} from "../runtime/server.ts";
import { UsageError } from "./arguments.ts";
import type { modelFlags, sourceFlags, Values } from "./flags.ts";
import { progressBar } from "./progress.ts";

type SourceFlags = Values<(typeof sourceFlags)[number]>;
type ModelFlags = Values<(typeof modelFlags)[number]>;

/** How the checkpoint that `--model` names is had. */
export function sourceOptions(flags: SourceFlags): SourceOptions {
	const { file, config, revision, token, endpoint, cache, offline } = flags;
	if (cache !== undefined && flags["no-cache"])
		throw new UsageError("--cache and --no-cache contradict each other");
	return {
		file,
		config,
		hub: {
			revision,
			token,
			endpoint,
			cache: flags["no-cache"] ? false : cache,
			localFilesOnly: offline,
		},
	};
}

/** Loads the model that the flags name, hands it to `use` and disposes of it, whatever happens. */
export async function withModel<T>(
	flags: ModelFlags,
	use: (model: Model) => Promise<T>,
	options: Pick<LoadOptions, "onProfile"> = {},
): Promise<T> {
	const source = sourceOptions(flags);
	const bar = progressBar(flags.quiet);
	const model = await Model.load(flags.model, {
		...source,
		mmproj: flags.mmproj,
		threads: flags.threads,
		banks: flags.banks,
		contextTokens: flags["context-tokens"],
		cache: word(flags, "kv", ["f32", "f16", "i8"]),
		activations: word(flags, "activations", ["defined", "int8"]),
		kernels: word(flags, "kernels", ["simd", "relaxed"]),
		...options,
		onProgress: bar?.update,
	}).finally(() => bar?.clear());
	try {
		return await use(model);
	} finally {
		await model.dispose();
	}
}

/** The value of a flag that is one of a few words. Throws UsageError for another one. */
function word<W extends string>(
	flags: ModelFlags,
	name: "kv" | "activations" | "kernels",
	words: readonly W[],
): W | undefined {
	const value = flags[name];
	const known = words.find((w) => w === value);
	if (value !== undefined && known === undefined)
		throw new UsageError(
			`--${name} is "${value}", expected ${words.join(" or ")}`,
		);
	return known;
}
