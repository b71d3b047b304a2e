import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

/** What a folder or file may import, besides itself and errors.ts. */
interface Rule {
	readonly values: readonly string[];
	readonly types: readonly string[];
}

/** The table "Who may import whom" of src/README.md. */
function readRules(): Map<string, Rule> {
	const text = readFileSync("src/README.md", "utf8");
	const section = text.split(/^## /m).find((s) => s.startsWith("Who may"));
	const rows = (section ?? "").matchAll(/^\| `([^`]+)` \|(.*)\|$/gm);
	return new Map(
		[...rows].map(([, name, list]) => {
			const items = [...list!.matchAll(/(types of )?`([^`]+)`/g)];
			return [
				name!,
				{
					values: items.filter(([, type]) => !type).map(([, , item]) => item!),
					types: items.map(([, , item]) => item!),
				},
			];
		}),
	);
}

interface Import {
	readonly file: string;
	readonly of: string;
	readonly typeOnly: boolean;
}

const STATEMENT =
	/^(?:import|export)\s+(type\s+)?(?:([^"';]*?)\s+from\s+)?"([^"]+)"|\bimport\("([^"]+)"\)/gm;

/** Import and re-export statements of a file, each with the folder, file or package that it is of. */
function importsOf(file: string): Import[] {
	const text = readFileSync(file, "utf8");
	return [...text.matchAll(STATEMENT)].map(
		([, type, clause, stated, called]) => {
			const specifier = stated ?? called!;
			const names = /^\{([^}]*)\}$/.exec(clause?.trim() ?? "")?.[1];
			const inlineTypes =
				names
					?.split(",")
					.filter((name) => name.trim())
					.every((name) => name.trim().startsWith("type ")) ?? false;
			const of = specifier.startsWith(".")
				? layerOf(join(dirname(file), specifier))
				: specifier
						.replace(/^node:.*/, "node:*")
						.replace(/^((@[^/]+\/)?[^/:@]+)\/.*/, "$1");
			return { file, of, typeOnly: type !== undefined || inlineTypes };
		},
	);
}

/** src/engine/graph.ts → engine/, src/load.ts → load.ts */
function layerOf(file: string): string {
	const [first = "", ...rest] = relative("src", file).split(/[/\\]/);
	return rest.length > 0 ? `${first}/` : first;
}

const withoutComments = (file: string): string =>
	readFileSync(file, "utf8").replaceAll(
		/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm,
		"",
	);

const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
	.filter((name) => name.endsWith(".ts"))
	.map((name) => join("src", name));
const rules = readRules();

describe("layers", () => {
	test("every folder and file of src has a rule, and every rule something to rule", () => {
		const layers = new Set(sources.map(layerOf));
		expect([...rules.keys()].sort()).toEqual([...layers].sort());
	});

	test.each([...rules])("%s imports what it may", (layer, rule) => {
		const wrong = sources
			.filter((file) => layerOf(file) === layer)
			.flatMap(importsOf)
			.filter(
				({ of, typeOnly }) =>
					of !== layer &&
					of !== "errors.ts" &&
					!(typeOnly ? rule.types : rule.values).includes(of),
			)
			.map(
				({ file, of, typeOnly }) =>
					`${file} imports ${typeOnly ? "types of " : ""}${of}`,
			);
		expect(wrong).toEqual([]);
	});

	test("assembly knows nothing of the host", () => {
		const files = readdirSync("assembly", {
			recursive: true,
			encoding: "utf8",
		}).filter((name) => name.endsWith(".ts"));
		for (const name of files)
			for (const [, , , specifier] of readFileSync(
				join("assembly", name),
				"utf8",
			).matchAll(STATEMENT))
				expect(
					relative("assembly", join("assembly", dirname(name), specifier!)),
					`${name} imports ${specifier}`,
				).not.toMatch(/^\.\./);
	});

	test("runtime interfaces stay in src/runtime and src/cli", () => {
		const elsewhere = sources.filter(
			(file) => !["runtime/", "cli/"].includes(layerOf(file)),
		);
		for (const file of elsewhere)
			expect(withoutComments(file), file).not.toMatch(
				/\b(process|Buffer|Deno|Bun)\.[a-z]|__dirname/,
			);
	});
});

describe("package.json", () => {
	const { exports, bin, dependencies } = JSON.parse(
		readFileSync("package.json", "utf8"),
	);
	const targets = (entry: unknown): string[] =>
		typeof entry === "string"
			? [entry]
			: Object.values(entry as object).flatMap(targets);

	test.each([...targets(exports), ...targets(bin)])("%s is built", (path) => {
		expect(existsSync(path)).toBe(true);
	});

	test("the package can be imported by its name", async () => {
		const name = "nibble-lm";
		const library = await import(name);
		expect(library.Model.load).toBeTypeOf("function");
		expect(library.version).toBe(
			JSON.parse(readFileSync("package.json", "utf8")).version,
		);
	});

	test("imports no package but its dependencies", () => {
		const packages = new Set(
			sources
				.flatMap(importsOf)
				.map(({ of }) => of)
				.filter((of) => !/^(node:|[\w-]+\/$|[\w-]+\.ts$)/.test(of)),
		);
		expect([...packages].sort()).toEqual(Object.keys(dependencies).sort());
	});
});
