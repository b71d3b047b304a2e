/** Browsers, in pages and in workers, and whatever else knows only the web's own interfaces. */
import type { Bound } from "../bind.ts";

export * from "../index.ts";
export { Model } from "./web-model.ts";

export const loadTokenizer: Bound["loadTokenizer"] = async (...args) => {
	const here = await import("./web-here.ts");
	return here.loadTokenizer(...args);
};
