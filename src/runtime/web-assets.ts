import { embeddedKernels } from "./embedded-kernels.ts";
import type { KernelBuild } from "./runtime.ts";

/** What the build embedded. Only the page's own modules can import it, so the engine asks the page. */
export interface WebAssets {
	/** A build of the kernels, base64. */
	kernels(build: KernelBuild): Promise<string>;
	/** The files of the embedded model by name, base64. */
	model(): Promise<Readonly<Record<string, string>>>;
}

/** Read when they are asked for. */
export const webAssets: WebAssets = {
	kernels: embeddedKernels,
	async model() {
		const { files } = await import("../embedded/model.js");
		return files;
	},
};
