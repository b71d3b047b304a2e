import { CheckpointError } from "../errors.ts";

/** A component of tokenizer.json. */
export type PreTokenizerNode = Readonly<Record<string, unknown>>;

/** GPT-2's words: contractions, letters, digits and the rest, each with the space before it; then white space. */
const GPT2_WORDS =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A pre-tokenizer, taken apart into what finds the words and how words are written in the vocabulary. */
export interface PreTokenizerParts {
	/** What finds the words, for `@huggingface/tokenizers`; null if the whole text is one. */
	readonly words: unknown;
	/** Whether words are written in GPT-2's byte alphabet at the end. */
	readonly byteLevel: boolean;
}

/**
 * Takes a pre-tokenizer apart. Writing words as bytes is left to the caller, who can remember the words already seen;
 * it costs the library several times what finding them does.
 */
export function preTokenizerParts(node: unknown): PreTokenizerParts {
	const rewritten = preTokenizerNode(node);
	const chain = flatten(rewritten as PreTokenizerNode | null);
	const last = chain.at(-1);
	const byteLevel =
		last?.type === "ByteLevel" &&
		last.use_regex === false &&
		last.add_prefix_space !== true;
	if (!byteLevel) return { words: rewritten, byteLevel };
	const rest = chain.slice(0, -1);
	return { words: rest.length > 0 ? sequence(...rest) : null, byteLevel };
}

function flatten(node: PreTokenizerNode | null): PreTokenizerNode[] {
	if (node === null) return [];
	return node.type === "Sequence" && Array.isArray(node.pretokenizers)
		? node.pretokenizers.flatMap(flatten)
		: [node];
}

/**
 * A pre-tokenizer in the words of `@huggingface/tokenizers` such that it splits as the reference implementation does:
 * - its `Digits` knows ASCII digits only, the reference every numeric character (½, ², ٣);
 * - its `ByteLevel` takes JavaScript's white space, which has U+FEFF and lacks U+0085, while its `Split` is right;
 * - its `Split` knows two of the five behaviours, its `Metaspace` does not split.
 */
function preTokenizerNode(node: unknown): unknown {
	if (typeof node !== "object" || node === null) return null;
	const given = node as PreTokenizerNode;
	switch (given.type) {
		case "Sequence":
			return Array.isArray(given.pretokenizers)
				? { ...given, pretokenizers: given.pretokenizers.map(preTokenizerNode) }
				: given;
		case "Digits":
			return isolated(given.individual_digits ? "\\p{N}" : "\\p{N}+");
		case "ByteLevel":
			// A prefix space must come before the words are split, so it stays one component.
			return given.use_regex === false || given.add_prefix_space === true
				? given
				: sequence(isolated(GPT2_WORDS), { ...given, use_regex: false });
		case "Metaspace": {
			const mark = escaped(String(given.replacement ?? "▁"));
			return given.split === false
				? given
				: sequence(given, isolated(`${mark}[^${mark}]*`));
		}
		case "Split":
			return split(given);
		default:
			return given;
	}
}

/** Splits by a regular expression, keeping matches and what lies between them. */
export function isolated(regex: string): PreTokenizerNode {
	return {
		type: "Split",
		pattern: { Regex: regex },
		behavior: "Isolated",
		invert: false,
	};
}

export function sequence(...nodes: PreTokenizerNode[]): PreTokenizerNode {
	return { type: "Sequence", pretokenizers: nodes };
}

function split(node: PreTokenizerNode): PreTokenizerNode {
	const { Regex, String: text } = (node.pattern ?? {}) as PreTokenizerNode;
	const pattern =
		typeof Regex === "string"
			? Regex
			: typeof text === "string"
				? escaped(text)
				: undefined;
	if (pattern === undefined) {
		throw new CheckpointError(
			`tokenizer.json: a Split pre-tokenizer has the pattern ${JSON.stringify(node.pattern)}, expected a Regex or a String`,
		);
	}
	const other = `(?:(?!${pattern})[\\s\\S])`;
	switch (node.behavior) {
		case "MergedWithPrevious":
			// Never fails far from where it began, so a text without any match still takes linear time.
			return node.invert
				? node
				: isolated(`${other}+(?:${pattern})?|(?:${pattern})`);
		case "MergedWithNext":
			return node.invert ? node : isolated(`(?:${pattern})${other}*`);
		case "Contiguous":
			return isolated(`(?:${pattern})+`);
		case "Isolated":
			// Matches and gaps swap their roles, and both are kept.
			return { ...node, invert: false };
		default:
			return node;
	}
}

function escaped(text: string): string {
	return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
