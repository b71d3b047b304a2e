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
	const { file, revision, token, endpoint, cache, offline } = flags;
	if (cache !== undefined && flags["no-cache"])
		throw new UsageError("--cache and --no-cache contradict each other");
	return {
		file,
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
	const { kernels } = flags;
	if (kernels !== undefined && kernels !== "simd" && kernels !== "relaxed")
		throw new UsageError(`--kernels is "${kernels}", expected simd or relaxed`);
	const source = sourceOptions(flags);
	const bar = progressBar(flags.quiet);
	const model = await Model.load(flags.model, {
		...source,
		mmproj: flags.mmproj,
		threads: flags.threads,
		banks: flags.banks,
		contextTokens: flags["context-tokens"],
		kernels,
		...options,
		onProgress: bar?.update,
	}).finally(() => bar?.clear());
	try {
		return await use(model);
	} finally {
		await model.dispose();
	}
}
