import type { Target } from "./runtime.ts";

/** What the build embedded. Only the page's own modules can import it, so the engine asks the page. */
export interface WebAssets {
	/** The kernels, base64. */
	kernels(target: Target): Promise<string>;
	/** The files of the embedded model by name, base64. */
	model(): Promise<Readonly<Record<string, string>>>;
}

/** Read when they are asked for. */
export const webAssets: WebAssets = {
	async kernels(target) {
		const { base64 } =
			target === "relaxed"
				? await import("../embedded/relaxed.js")
				: await import("../embedded/simd.js");
		return base64;
	},
	async model() {
		const { files } = await import("../embedded/model.js");
		return files;
	},
};
