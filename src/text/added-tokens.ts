/** A token that is found in the text as it stands, before any splitting into words. */
export interface AddedToken {
	readonly id: number;
	readonly content: string;
	/** Control tokens, as opposed to user-defined text: skipped when decoding for a reader. */
	readonly special: boolean;
	/** Swallows white space to its left. */
	readonly lstrip: boolean;
	/** Swallows white space to its right. */
	readonly rstrip: boolean;
	/** Not found inside a longer word. */
	readonly singleWord: boolean;
	/** Looked for in the normalized text rather than in the raw text. */
	readonly normalized: boolean;
}

/** Text between added tokens, or the id of one. */
export type Section = string | number;

interface Node {
	readonly children: Map<number, Node>;
	token?: AddedToken;
}

/** Cuts a text at the added tokens in it: leftmost first, of several at one place the longest. */
export type AddedTokenSplitter = (text: string) => Section[];

/** `pattern` gives the text to look for, in case it is not the token's content. */
export function addedTokenSplitter(
	tokens: readonly AddedToken[],
	pattern: (token: AddedToken) => string = (token) => token.content,
): AddedTokenSplitter {
	const root: Node = { children: new Map() };
	for (const token of tokens) {
		const text = pattern(token);
		if (text !== "") insert(root, text, token);
	}
	if (root.children.size === 0) return (text) => (text === "" ? [] : [text]);

	return (text) => {
		const sections: Section[] = [];
		let start = 0;
		let at = 0;
		while (at < text.length) {
			const found = longest(root, text, at);
			if (found === undefined) {
				at++;
				continue;
			}
			const { token, end } = found;
			if (token.singleWord && insideWord(text, at, end)) {
				at = end;
				continue;
			}
			const from = token.lstrip ? spaceBefore(text, start, at) : at;
			if (from > start) sections.push(text.slice(start, from));
			sections.push(token.id);
			at = start = token.rstrip ? spaceAfter(text, end) : end;
		}
		if (start < text.length) sections.push(text.slice(start));
		return sections;
	};
}

function insert(root: Node, text: string, token: AddedToken): void {
	let node = root;
	for (let i = 0; i < text.length; i++) {
		const unit = text.charCodeAt(i);
		let child = node.children.get(unit);
		if (child === undefined) {
			child = { children: new Map() };
			node.children.set(unit, child);
		}
		node = child;
	}
	node.token ??= token;
}

function longest(
	root: Node,
	text: string,
	at: number,
): { token: AddedToken; end: number } | undefined {
	let found: { token: AddedToken; end: number } | undefined;
	let node = root.children.get(text.charCodeAt(at));
	for (let end = at + 1; node !== undefined; end++) {
		if (node.token) found = { token: node.token, end };
		if (end >= text.length) break;
		node = node.children.get(text.charCodeAt(end));
	}
	return found;
}

const wordEnd = /[\p{L}\p{M}\p{Nd}\p{Pc}]$/u;
const wordStart = /^[\p{L}\p{M}\p{Nd}\p{Pc}]/u;

function insideWord(text: string, start: number, end: number): boolean {
	return (
		wordEnd.test(text.slice(Math.max(0, start - 2), start)) ||
		wordStart.test(text.slice(end, end + 2))
	);
}

const space = /\p{White_Space}/u;

function spaceBefore(text: string, limit: number, at: number): number {
	let from = at;
	while (from > limit && space.test(text.charAt(from - 1))) from--;
	return from;
}

function spaceAfter(text: string, at: number): number {
	let to = at;
	while (to < text.length && space.test(text.charAt(to))) to++;
	return to;
}
