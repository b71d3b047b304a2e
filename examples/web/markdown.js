// The Markdown that models write: paragraphs, headings, lists, quotes, code. Everything becomes elements and text, never
// markup, so nothing that a model writes can do anything to the page.
import { make } from "./dom.js";

const FENCE = /^\s*```(.*)$/;
const HEADING = /^#{1,6}\s+(.*)$/;
const ITEM = /^\s*(?:[-*+]|\d+[.)])\s+(.*)$/;
const QUOTE = /^>\s?(.*)$/;
const INLINE =
	/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*|\[[^\]]+\]\(https?:[^)\s]+\))/;

const kindOf = (line) => {
	if (line.trim() === "") return "blank";
	if (FENCE.test(line)) return "code";
	if (HEADING.test(line)) return "heading";
	if (ITEM.test(line)) return "list";
	return QUOTE.test(line) ? "quote" : "paragraph";
};

/** Blocks in order, each with its lines. A block of code lasts until its closing fence, or for as long as there is none. */
function blocksOf(text) {
	const blocks = [];
	let open;
	for (const line of text.split("\n")) {
		if (open?.kind === "code") {
			open.lines.push(line);
			if (FENCE.test(line)) open = undefined;
			continue;
		}
		const kind = kindOf(line);
		const goesOn = open && (open.kind === kind || isLazy(open, kind, line));
		if (kind === "blank") open = undefined;
		else if (goesOn && kind !== "heading") open.lines.push(line);
		else {
			open = { kind, lines: [line] };
			blocks.push(open);
		}
	}
	return blocks;
}

/** The further lines of a list's item are indented. */
const isLazy = ({ kind: before }, kind, line) =>
	before === "list" && kind === "paragraph" && /^\s/.test(line);

function inline(text) {
	return text.split(INLINE).map((piece) => {
		if (!INLINE.test(piece)) return piece;
		if (piece.startsWith("`")) return make("code", {}, piece.slice(1, -1));
		if (piece.startsWith("**"))
			return make("strong", {}, ...inline(piece.slice(2, -2)));
		if (piece.startsWith("*"))
			return make("em", {}, ...inline(piece.slice(1, -1)));
		const [, label, href] = /^\[(.*)\]\((.*)\)$/.exec(piece);
		return make("a", { href, target: "_blank", rel: "noreferrer" }, label);
	});
}

function elementOf({ kind, lines }) {
	if (kind === "code") {
		const closed = lines.length > 1 && FENCE.test(lines.at(-1));
		const code = lines.slice(1, closed ? -1 : undefined).join("\n");
		return make("pre", { tabindex: 0 }, make("code", {}, code));
	}
	if (kind === "heading")
		return make("h3", {}, ...inline(HEADING.exec(lines[0])[1]));
	if (kind === "quote")
		return make(
			"blockquote",
			{},
			...inline(lines.map((line) => QUOTE.exec(line)[1]).join("\n")),
		);
	if (kind === "list") {
		const items = [];
		for (const line of lines) {
			const item = ITEM.exec(line);
			if (item) items.push(item[1]);
			else items[items.length - 1] += ` ${line.trim()}`;
		}
		const start = /^\s*(\d+)/.exec(lines[0])?.[1];
		return make(
			start ? "ol" : "ul",
			{ start },
			...items.map((item) => make("li", {}, ...inline(item))),
		);
	}
	const parts = lines.flatMap((line, i) =>
		i > 0 ? [make("br"), ...inline(line)] : inline(line),
	);
	return make("p", {}, ...parts);
}

/** Block that each element was made of. */
const sources = new WeakMap();

/** Shows a text that grows: of what is there, only blocks that have changed are made anew. */
export function showMarkdown(container, text) {
	const blocks = blocksOf(text);
	for (const [i, block] of blocks.entries()) {
		const there = container.children[i];
		const source = block.kind + block.lines.join("\n");
		if (there && sources.get(there) === source) continue;
		const element = elementOf(block);
		sources.set(element, source);
		if (there) there.replaceWith(element);
		else container.append(element);
	}
	while (container.children.length > blocks.length)
		container.lastElementChild.remove();
}
