import { type LoadOptions, Model } from "../runtime/server.ts";
import { UsageError } from "./arguments.ts";
import type { modelFlags, Values } from "./flags.ts";
import { progressBar } from "./progress.ts";

type ModelFlags = Values<(typeof modelFlags)[number]>;

/** Loads the model that the flags name, hands it to `use` and disposes of it, whatever happens. */
export async function withModel<T>(
	flags: ModelFlags,
	use: (model: Model) => Promise<T>,
	options: Pick<LoadOptions, "onProfile"> = {},
): Promise<T> {
	const { kernels } = flags;
	if (kernels !== undefined && kernels !== "simd" && kernels !== "relaxed")
		throw new UsageError(`--kernels is "${kernels}", expected simd or relaxed`);
	const bar = progressBar(flags.quiet);
	const model = await Model.load(flags.model, {
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
