import { Tokenizer } from "@huggingface/tokenizers";
import { UnsupportedError } from "../errors.ts";

/** The components of tokenizer.json that know nothing of the vocabulary. */
export interface ComponentNodes {
	readonly normalizer?: unknown;
	readonly pre_tokenizer?: unknown;
	readonly post_processor?: unknown;
}

/** What they do, in the words of `Stages`. */
export interface Components {
	readonly normalize?: (text: string) => string;
	readonly split?: (section: string, first: boolean) => readonly string[];
	/** Tokens that the post-processor puts before and after a text. */
	readonly before: readonly string[];
	readonly after: readonly string[];
}

/** Stands for a text in what the post-processor makes of it. */
const TEXT = "\0";

/**
 * Builds components with `@huggingface/tokenizers`, which makes them only together with a vocabulary: here an empty one.
 * @throws UnsupportedError, also from the functions it returns, for components that it does not know or cannot run.
 */
export function buildComponents(
	nodes: ComponentNodes,
	where: string,
): Components {
	const guarded = <T>(run: () => T): T => {
		try {
			return run();
		} catch (error) {
			const reason = error instanceof Error ? error.message : String(error);
			throw new UnsupportedError(`${where}: ${reason}`, { cause: error });
		}
	};
	return guarded(() => {
		const { normalizer, pre_tokenizer, post_processor } = new Tokenizer(
			{
				normalizer: nodes.normalizer ?? null,
				pre_tokenizer: nodes.pre_tokenizer ?? null,
				post_processor: nodes.post_processor ?? null,
				decoder: null,
				added_tokens: [],
				model: { type: "BPE", vocab: {}, merges: [] },
			},
			{},
		);
		const processed: string[] = post_processor
			? post_processor.post_process([TEXT], null, true).tokens
			: [TEXT];
		const at = processed.indexOf(TEXT);
		return {
			...(normalizer && {
				normalize: (text: string) => guarded(() => normalizer.normalize(text)),
			}),
			...(pre_tokenizer && {
				split: (section: string, first: boolean) =>
					guarded(() =>
						pre_tokenizer.pre_tokenize(section, {
							section_index: first ? 0 : 1,
						}),
					),
			}),
			before: processed.slice(0, at),
			after: processed.slice(at + 1),
		};
	});
}
