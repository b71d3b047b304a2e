import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const isBuilt = existsSync("dist/index.d.ts");
if (!isBuilt) console.warn("skipped: dist is missing, run npm run build");

/** What stands before `Model` and `loadTokenizer`: `typeof Model` names it. */
const BOUND = ["Bound", "ModelConstructor"];
/** What nobody outside can have: only `Model.load` calls Model's constructor. */
const PRIVATE = "LoadedModel";

/** Declarations of the built package by name, without comments. */
function readDeclarations(): Map<string, string> {
	const found = new Map<string, string>();
	for (const file of readdirSync("dist", {
		recursive: true,
		encoding: "utf8",
	})) {
		if (!file.endsWith(".d.ts")) continue;
		const text = readFileSync(join("dist", file), "utf8");
		const statements = text
			.replaceAll(/\/\*.*?\*\//gs, "")
			.split(/^(?=export|import|declare)/m);
		for (const statement of statements) {
			const [, name] =
				/^export (?:declare )?(?:interface|type|class|const|function) (\w+)/.exec(
					statement,
				) ?? [];
			if (name) found.set(name, (found.get(name) ?? "") + statement);
		}
	}
	return found;
}

test.skipIf(!isBuilt)("what public signatures mention has public names", () => {
	const declarations = readDeclarations();
	const index = readFileSync("dist/index.d.ts", "utf8");
	const names = new Set(["Model", "loadTokenizer", ...BOUND]);
	for (const [, list] of index.matchAll(/^export (?:type )?\{([^}]*)\}/gm))
		for (const name of list!.match(/\w+/g) ?? []) names.add(name);
	expect(names.size).toBeGreaterThan(50);
	for (const name of names) {
		// A part of a type is a type without a name.
		const mentioned = (declarations.get(name) ?? "")
			.replaceAll(/Pick<\w+|\w+\["|extends \w+/g, "")
			.match(/\b[A-Z]\w+/g);
		const nameless = (mentioned ?? []).filter(
			(type) => declarations.has(type) && !names.has(type) && type !== PRIVATE,
		);
		expect(nameless, name).toEqual([]);
	}
});
