import { Tokenizer } from "@huggingface/tokenizers";
import { UnsupportedError } from "../errors.ts";

/** The components of tokenizer.json that know nothing of the vocabulary. */
export interface ComponentNodes {
	readonly normalizer?: unknown;
	readonly pre_tokenizer?: unknown;
	readonly post_processor?: unknown;
}

/**
 * Builds components with `@huggingface/tokenizers`, which makes them only together with a vocabulary: here an empty one.
 * @throws UnsupportedError for components that it does not know.
 */
export function buildComponents(
	{ normalizer, pre_tokenizer, post_processor }: ComponentNodes,
	where: string,
): Pick<Tokenizer, "normalizer" | "pre_tokenizer" | "post_processor"> {
	try {
		return new Tokenizer(
			{
				normalizer: normalizer ?? null,
				pre_tokenizer: pre_tokenizer ?? null,
				post_processor: post_processor ?? null,
				decoder: null,
				added_tokens: [],
				model: { type: "BPE", vocab: {}, merges: [] },
			},
			{},
		);
	} catch (error) {
		const reason = error instanceof Error ? error.message : String(error);
		throw new UnsupportedError(`${where}: ${reason}`, { cause: error });
	}
}
