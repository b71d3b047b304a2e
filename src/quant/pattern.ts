// Regular expressions of configuration files, matched as Python's re.match does: from the start of the text, not
// necessarily to its end. All alternatives are followed at once, so the time is text × pattern whatever the pattern is;
// a file must not be able to choose one that takes forever.
//
//   .  [a-z]  [^a-z]  \d \w \s \D \W \S  \.  ( | )  (?: | )  * + ?  ^ $
import { UnsupportedError } from "../errors.ts";

/** One step of a compiled pattern: where to go on from it. */
type Step =
	| { readonly kind: "char"; readonly accepts: (char: string) => boolean }
	| { readonly kind: "fork"; readonly to: readonly number[] }
	| { readonly kind: "start" | "end" | "match" };

const MAX_LENGTH = 1024;

const CLASSES: ReadonlyMap<string, RegExp> = new Map([
	["d", /\d/],
	["w", /\w/],
	["s", /\s/],
	["D", /\D/],
	["W", /\W/],
	["S", /\S/],
]);

/** Compiles a pattern to a test. Throws UnsupportedError for syntax other than the above; `where` names its place in the message. */
export function compilePattern(
	source: string,
	where: string,
): (text: string) => boolean {
	const steps: Step[] = [];
	let at = 0;

	const unsupported = () =>
		new UnsupportedError(
			`${where}: the pattern ${JSON.stringify(source.slice(0, MAX_LENGTH))} is not read from character ${at} on`,
		);
	if (source.length > MAX_LENGTH) throw unsupported();
	const peek = (char: string) => source[at] === char;
	const take = (char: string) => {
		if (!peek(char)) return false;
		at++;
		return true;
	};
	const emit = (step: Step) => steps.push(step) - 1;
	/** Moves the steps from `from` on back by one, to put another before them. */
	const insert = (from: number, step: Step) => {
		steps.splice(from, 0, step);
		for (const [i, moved] of steps.entries()) {
			if (i <= from || moved.kind !== "fork") continue;
			const to = moved.to.map((target) =>
				target >= from ? target + 1 : target,
			);
			steps[i] = { kind: "fork", to };
		}
	};

	const alternatives = () => {
		const begin = steps.length;
		sequence();
		if (!take("|")) return;
		insert(begin, { kind: "fork", to: [] });
		const jump = emit({ kind: "fork", to: [] });
		steps[begin] = { kind: "fork", to: [begin + 1, jump + 1] };
		alternatives();
		steps[jump] = { kind: "fork", to: [steps.length] };
	};
	const sequence = () => {
		while (at < source.length && !peek("|") && !peek(")")) {
			const begin = steps.length;
			atom();
			if (take("*")) {
				insert(begin, { kind: "fork", to: [] });
				const back = emit({ kind: "fork", to: [begin] });
				steps[begin] = { kind: "fork", to: [begin + 1, back + 1] };
			} else if (take("+")) {
				emit({ kind: "fork", to: [begin, steps.length + 1] });
			} else if (take("?")) {
				insert(begin, { kind: "fork", to: [] });
				steps[begin] = { kind: "fork", to: [begin + 1, steps.length] };
			} else continue;
			take("?"); // a lazy repetition matches the same texts
			if (peek("*") || peek("+") || peek("?")) throw unsupported();
		}
	};
	const atom = () => {
		const char = source[at++]!;
		switch (char) {
			case "(":
				if (peek("?") && !(source[at + 1] === ":")) throw unsupported();
				if (take("?")) at++;
				alternatives();
				if (!take(")")) throw unsupported();
				break;
			case "[":
				emit({ kind: "char", accepts: bracket() });
				break;
			case ".":
				emit({ kind: "char", accepts: (c) => c !== "\n" });
				break;
			case "^":
				emit({ kind: "start" });
				break;
			case "$":
				emit({ kind: "end" });
				break;
			case "\\":
				emit({ kind: "char", accepts: escaped() });
				break;
			case "*":
			case "+":
			case "?":
			case "{":
			case "}":
				at--;
				throw unsupported();
			default:
				emit({ kind: "char", accepts: (c) => c === char });
		}
	};
	const escaped = (): ((char: string) => boolean) => {
		const char = source[at++] ?? "";
		const named = CLASSES.get(char);
		if (named) return (c) => named.test(c);
		if (/^\w?$/.test(char)) throw unsupported();
		return (c) => c === char;
	};
	const bracket = (): ((char: string) => boolean) => {
		const negated = take("^");
		const parts: ((char: string) => boolean)[] = [];
		do {
			const first = source[at++];
			if (first === undefined) throw unsupported();
			if (first === "\\") parts.push(escaped());
			else if (peek("-") && /[^\]\\]/.test(source[at + 1] ?? "]")) {
				at++;
				const last = source[at++]!;
				parts.push((c) => c >= first && c <= last);
			} else parts.push((c) => c === first);
		} while (!take("]"));
		return (c) => parts.some((part) => part(c)) !== negated;
	};

	alternatives();
	if (at < source.length) throw unsupported();
	emit({ kind: "match" });
	return (text) => matches(steps, text);
}

function matches(steps: readonly Step[], text: string): boolean {
	let open = new Set([0]);
	for (let i = 0; i <= text.length; i++) {
		const next = new Set<number>();
		// a Set visits what is added to it on the way, and nothing twice
		for (const index of open) {
			const step = steps[index]!;
			switch (step.kind) {
				case "match":
					return true;
				case "fork":
					for (const target of step.to) open.add(target);
					break;
				case "start":
					if (i === 0) open.add(index + 1);
					break;
				case "end":
					if (i === text.length) open.add(index + 1);
					break;
				case "char":
					if (i < text.length && step.accepts(text[i]!)) next.add(index + 1);
			}
		}
		if (next.size === 0) return false;
		open = next;
	}
	return false;
}
