/** Browsers, in pages and in workers, and whatever else knows only the web's own interfaces. */
import type { Source } from "../sources/open.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

export * from "../index.ts";
export { Model } from "./web-model.ts";

/** The tokenizer of a checkpoint alone; a GGUF file that holds nothing else will do. */
export async function loadTokenizer(source?: Source): Promise<Tokenizer> {
	const here = await import("./web-here.ts");
	return here.loadTokenizer(source);
}
