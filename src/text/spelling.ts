import { UnsupportedError } from "../errors.ts";
import { byteLevelBytes, fallbackByte } from "./byte-level.ts";

/**
 * What tokens stand for in running text. Decoding is: join the bytes of the tokens, drop what the first token or the
 * text must not begin with, read the rest as UTF-8. Every decoder that the supported models use can be said this way,
 * which makes decoding token by token and all at once the same thing.
 */
export interface Spelling {
	/** The bytes of a token's text. `added` tokens are text already where others are spelled in an alphabet. */
	bytes(token: string, added: boolean): Uint8Array;
	/**
	 * What to drop at the very start: nothing, spaces up to a number of them, or every space of the first token
	 * (where a space stands for the mark that begins a word).
	 */
	readonly leading:
		| { readonly kind: "none" }
		| { readonly kind: "spaces"; readonly most: number }
		| { readonly kind: "first-token" };
}

type Node = Readonly<Record<string, unknown>>;

const utf8 = new TextEncoder();

/** GPT-2's byte alphabet. */
export const byteLevelSpelling: Spelling = {
	bytes: (token, added) => (added ? utf8.encode(token) : byteLevelBytes(token)),
	leading: { kind: "none" },
};

/** SentencePiece: `▁` is a space, `<0xXX>` a byte; `strip` spaces go at the start of the text. */
export function sentencePieceSpelling(strip: number): Spelling {
	return pieceSpelling({
		replace: [["▁", " "]],
		byteFallback: true,
		leading: strip > 0 ? { kind: "spaces", most: strip } : { kind: "none" },
	});
}

/** The spelling that the `decoder` of a tokenizer.json describes. */
export function spellingOf(decoder: unknown, where: string): Spelling {
	if (decoder === null || decoder === undefined) {
		// Without a decoder, tokens are words set apart by spaces.
		return {
			bytes: (token) => utf8.encode(` ${token}`),
			leading: { kind: "spaces", most: 1 },
		};
	}
	const chain = flatten(decoder);
	if (chain.length === 1 && chain[0]?.type === "ByteLevel") {
		return byteLevelSpelling;
	}
	const piece: Piece = {
		replace: [],
		byteFallback: false,
		leading: { kind: "none" },
	};
	let fused = false;
	for (const node of chain) {
		const known = readStep(node, piece, fused);
		if (!known) {
			throw new UnsupportedError(
				`${where}: decoder ${JSON.stringify(node).slice(0, 200)} is not supported here, expected ByteLevel, Metaspace, or a sequence of Replace, ByteFallback, Fuse and Strip`,
			);
		}
		fused ||= node.type === "Fuse";
	}
	return pieceSpelling(piece);
}

interface Piece {
	replace: [from: string, to: string][];
	byteFallback: boolean;
	leading: Spelling["leading"];
}

function readStep(node: Node, piece: Piece, fused: boolean): boolean {
	switch (node.type) {
		case "Replace": {
			const from = (node.pattern as Node | undefined)?.String;
			if (fused || piece.byteFallback || typeof from !== "string") return false;
			piece.replace.push([from, String(node.content ?? "")]);
			return true;
		}
		case "ByteFallback":
			piece.byteFallback = true;
			return !fused;
		case "Fuse":
			return true;
		case "Strip": {
			const most = Number(node.start ?? 0);
			if (!fused || node.content !== " " || Number(node.stop ?? 0) !== 0) {
				return false;
			}
			if (most > 0) piece.leading = { kind: "spaces", most };
			return true;
		}
		case "Metaspace": {
			if (fused) return false;
			piece.replace.push([String(node.replacement ?? "▁"), " "]);
			const prepends =
				node.prepend_scheme === undefined
					? node.add_prefix_space !== false
					: node.prepend_scheme !== "never";
			if (prepends) piece.leading = { kind: "first-token" };
			return true;
		}
		default:
			return false;
	}
}

function pieceSpelling({ replace, byteFallback, leading }: Piece): Spelling {
	return {
		bytes(token) {
			const byte = byteFallback ? fallbackByte(token) : undefined;
			if (byte !== undefined) return Uint8Array.of(byte);
			let text = token;
			for (const [from, to] of replace) text = text.replaceAll(from, to);
			return utf8.encode(text);
		},
		leading,
	};
}

function flatten(decoder: unknown): Node[] {
	const node = (
		typeof decoder === "object" && decoder !== null ? decoder : {}
	) as Node;
	return node.type === "Sequence" && Array.isArray(node.decoders)
		? node.decoders.flatMap(flatten)
		: [node];
}
