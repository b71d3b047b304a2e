import { beginning } from "./stop.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { pythonCall, toolCalls } from "./tool-calls.ts";

/** A piece of the answer. */
export interface TextPart {
	readonly type: "text";
	readonly text: string;
}

/** A piece of what the model thinks before it answers. */
export interface ReasoningPart {
	readonly type: "reasoning";
	readonly text: string;
}

/** A tool that the model wants to be called. It comes when the call is complete. */
export interface ToolCallPart {
	readonly type: "tool-call";
	/** The tool's name; "python" for code. */
	readonly name: string;
	/** What to call it with; `{ code }` for code. */
	readonly arguments: Readonly<Record<string, unknown>>;
	/** Set if the model wrote code instead of naming a tool. */
	readonly language?: "python";
	/** The call as the model wrote it, markers included. */
	readonly raw: string;
}

/** What a model's answer consists of. Text and reasoning come piece by piece. */
export type Part = TextPart | ReasoningPart | ToolCallPart;

/** What a part begins and ends with. */
export type Marker = readonly [open: string, close: string];

export interface PartMarkers {
	readonly reasoning?: Marker | undefined;
	readonly toolCall?: Marker | undefined;
	readonly code?: Marker | undefined;
}

export interface PartSplitterOptions {
	/** Takes everything as text. @default false */
	readonly plain?: boolean | undefined;
	/** The prompt. It may leave its reasoning open for the model to fill in, or explain markers that are no tokens. */
	readonly promptIds?: readonly number[] | undefined;
	/** Whether the model was told to write Python code between the code markers; elsewhere they are text. @default false */
	readonly python?: boolean | undefined;
	/** @default `<think>`, `<tool_call>` and `<code>`, each with its closing tag */
	readonly markers?: PartMarkers | undefined;
}

/** Splits a text that comes in pieces. However it is cut, the parts are the same when neighbours are joined. */
export interface PartSplitter {
	/** Marker tokens, which must not be left out of the text even if they are control tokens. */
	readonly markerIds: ReadonlySet<number>;
	push(piece: string): Part[];
	/** What was held back. A reasoning without end is reasoning, a tool call without end is text unless it is complete. */
	flush(): Part[];
}

const MARKERS = {
	reasoning: ["<think>", "</think>"],
	toolCall: ["<tool_call>", "</tool_call>"],
	code: ["<code>", "</code>"],
} as const satisfies PartMarkers;

type Kind = keyof typeof MARKERS;

/**
 * A splitter for what this model writes. Markers count if both are tokens of the vocabulary or the prompt has both of
 * them; elsewhere they are text like any other. White space between a marker and text belongs to neither.
 */
export function createPartSplitter(
	tokenizer: Pick<Tokenizer, "tokenId" | "decode">,
	options: PartSplitterOptions = {},
): PartSplitter {
	const { plain = false, promptIds = [], python = false } = options;
	if (plain) {
		return {
			markerIds: new Set(),
			push: (text) => (text === "" ? [] : [{ type: "text", text }]),
			flush: () => [],
		};
	}
	const prompt = tokenizer.decode(promptIds);
	const given: PartMarkers = options.markers ?? MARKERS;
	const active = new Map<Kind, Marker>();
	const markerIds = new Set<number>();
	for (const kind of Object.keys(MARKERS) as Kind[]) {
		const marker = given[kind];
		if (!marker || (kind === "code" && !python)) continue;
		const ids = marker.map((text) => tokenizer.tokenId(text));
		const known = ids.every((id) => id !== undefined);
		if (!known && !marker.every((text) => prompt.includes(text))) continue;
		active.set(kind, marker);
		for (const id of ids) if (id !== undefined) markerIds.add(id);
	}
	const reasoning = active.get("reasoning");
	const opened =
		reasoning !== undefined && prompt.trimEnd().endsWith(reasoning[0]);
	return { markerIds, ...splitter(active, opened) };
}

function splitter(
	markers: ReadonlyMap<Kind, Marker>,
	opened: boolean,
): Omit<PartSplitter, "markerIds"> {
	const opens = Array.from(markers.values(), ([open]) => open);
	let inside: Kind | undefined = opened ? "reasoning" : undefined;
	/** Whether white space is dropped until something else comes. */
	let fresh = opened;
	/** Text not decided on yet; in a tool call, all of it. */
	let held = "";
	/** How much of `held` is known not to hold the closing marker's beginning. */
	let searched = 0;
	/** White space before the marker of the present tool call, in case it turns out to be text. */
	let space = "";

	const say = (type: "text" | "reasoning", text: string): Part[] => {
		const said = fresh ? text.trimStart() : text;
		if (said === "") return [];
		fresh = false;
		return [{ type, text: said }];
	};

	const enter = (kind: Kind | undefined, rest: string) => {
		inside = kind;
		held = rest;
		searched = 0;
		fresh = kind === undefined || kind === "reasoning";
	};

	/** Lets go of everything but what may be the beginning of a marker, and white space that may come before one. */
	const release = (type: "text" | "reasoning", next: readonly string[]) => {
		const reach = Math.max(0, ...next.map((marker) => marker.length - 1));
		const free = held.length - beginning(held, next, reach);
		const end = next.length > 0 ? held.slice(0, free).trimEnd().length : free;
		const parts = say(type, held.slice(0, end));
		held = held.slice(end);
		return parts;
	};

	const call = (kind: Kind, body: string, closed: string): Part[] => {
		const [open] = markers.get(kind) as Marker;
		const raw = open + body + closed;
		const found =
			kind === "code" ? pythonCall(body, raw) : toolCalls(body, raw);
		return found ?? [{ type: "text", text: space + raw }];
	};

	/** One step over `held`; undefined where more text is needed. */
	const step = (parts: Part[]): boolean => {
		if (inside === undefined) {
			const found = firstMarker(held, markers);
			if (!found) {
				parts.push(...release("text", opens));
				return false;
			}
			const { kind, at, open } = found;
			const text = held.slice(0, at).trimEnd();
			space = fresh && text === "" ? "" : held.slice(text.length, at);
			parts.push(...say("text", text));
			enter(kind, held.slice(at + open.length));
			return true;
		}
		const [, close] = markers.get(inside) as Marker;
		const at = held.indexOf(close, searched);
		if (at < 0) {
			if (inside === "reasoning") parts.push(...release("reasoning", [close]));
			searched =
				inside === "reasoning"
					? 0
					: Math.max(0, held.length - close.length + 1);
			return false;
		}
		const body = held.slice(0, at);
		const rest = held.slice(at + close.length);
		const found =
			inside === "reasoning"
				? say("reasoning", body.trimEnd())
				: call(inside, body, close);
		parts.push(...found);
		const failed = inside !== "reasoning" && found[0]?.type === "text";
		enter(undefined, rest);
		fresh = !failed;
		return true;
	};

	return {
		push(piece) {
			const parts: Part[] = [];
			held += piece;
			while (step(parts));
			return parts;
		},
		flush() {
			const rest = held;
			held = "";
			if (inside === undefined || inside === "reasoning") {
				return say(inside ?? "text", rest);
			}
			return call(inside, rest, "");
		},
	};
}

function firstMarker(
	text: string,
	markers: ReadonlyMap<Kind, Marker>,
): { kind: Kind; at: number; open: string } | undefined {
	let first: { kind: Kind; at: number; open: string } | undefined;
	for (const [kind, [open]] of markers) {
		const at = text.indexOf(open);
		if (at >= 0 && (first === undefined || at < first.at)) {
			first = { kind, at, open };
		}
	}
	return first;
}
