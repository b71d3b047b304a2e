/** Lines of cells as a markdown table whose columns are aligned; the first line is the header. */
export function printTable(lines: readonly (readonly string[])[]): string {
	const [header] = lines as [readonly string[]];
	const widths = header.map((_, c) =>
		Math.max(3, ...lines.map((line) => line[c]!.length)),
	);
	// Text to the left, numbers to the right.
	const isText = header.map((_, c) => /[a-z]/i.test(lines[1]?.[c]?.[0] ?? "a"));
	const print = (line: readonly string[]) =>
		`| ${line.map((cell, c) => (isText[c] ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join(" | ")} |`;
	const rule = `|${widths.map((w, c) => (isText[c] ? "-".repeat(w + 2) : `${"-".repeat(w + 1)}:`)).join("|")}|`;
	return [print(header), rule, ...lines.slice(1).map(print)].join("\n");
}

/** Three significant digits, whole numbers above. */
export function digits(value: number): string {
	if (value >= 100) return value.toFixed(0);
	return value.toFixed(value >= 10 ? 1 : 2);
}
