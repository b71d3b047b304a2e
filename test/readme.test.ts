import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { signatures } from "../src/engine/signatures.ts";
import { UnsupportedError } from "../src/errors.ts";
import { ggmlTypes } from "../src/formats/gguf-types.ts";
import { findArchitecture } from "../src/models/architectures.ts";
import { floats } from "../src/quant/floats.ts";
import { findMatrix } from "../src/quant/scheme.ts";
import { layoutName } from "../src/weights.ts";
import { checkpointWith, storedBytes } from "./fixture.ts";

const readme = readFileSync("README.md", "utf8");

test("its TypeScript compiles against the built package", () => {
	const folder = "build/readme";
	mkdirSync(folder, { recursive: true });
	const snippets = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)];
	expect(snippets.length).toBeGreaterThan(2);
	for (const [i, [, code]] of snippets.entries())
		writeFileSync(join(folder, `snippet-${i}.ts`), code!);
	writeFileSync(
		join(folder, "tsconfig.json"),
		JSON.stringify({
			extends: "../../tsconfig.json",
			// A stranger's project has none of our type packages.
			compilerOptions: { types: [] },
			include: ["*.ts"],
		}),
	);
	const { status, stdout } = spawnSync(
		join("node_modules", ".bin", "tsc"),
		["-p", folder],
		{ encoding: "utf8" },
	);
	expect(stdout).toBe("");
	expect(status).toBe(0);
});

test("its list of models is the code's", () => {
	const claimed = [...readme.matchAll(/`(\w+For[A-Z]\w+)`/g)].map(
		([, name]) => name,
	);
	let known: string[] = [];
	try {
		findArchitecture({ architectures: [] }, "none");
	} catch (error) {
		known = String(error).match(/\w+For[A-Z]\w+/g) ?? [];
	}
	expect([...new Set(claimed)].sort()).toEqual(known.sort());
});

/** Element types by name, with the elements and the bytes of a block. */
const elementTypes = new Map<string, { block: number; bytes: number }>([
	...Object.entries(floats).map(
		([name, { bytes }]) => [name, { block: 1, bytes }] as const,
	),
	...[...ggmlTypes.values()].map((type) => [type.name, type] as const),
]);

/** What the code can do with weights of an element type, in the words of the README's table. */
async function abilities(type: string): Promise<"runs" | "reads" | "no"> {
	const { block, bytes } = elementTypes.get(type)!;
	const shape = [16, 256] as const;
	const data = new Uint8Array((shape[0] * shape[1] * bytes) / block);
	try {
		const checkpoint = checkpointWith([storedBytes("w", type, shape, data)]);
		const matrix = await findMatrix(checkpoint, "w");
		if (!((matrix?.pack ?? "") in signatures)) return "reads";
		return layoutName(matrix!) && "runs";
	} catch (error) {
		expect(error).toBeInstanceOf(UnsupportedError);
		return /no kernel/.test(String(error)) ? "reads" : "no";
	}
}

describe("its table of weights", () => {
	const [, table = ""] = readme.split("<!-- test/readme.test.ts");
	const rows = [
		...table.matchAll(/^\| (.+?) \|.*\| (yes|no) \| (yes|no) \|$/gm),
	];
	const claims = new Map(
		rows.flatMap(([, names, reads, runs]) =>
			[...names!.matchAll(/`([A-Z0-9_]+)`/g)].map(([, name]) => [
				name!,
				runs === "yes" ? "runs" : reads === "yes" ? "reads" : "no",
			]),
		),
	);

	test.each([...elementTypes.keys()])("%s", async (type) => {
		expect(
			claims.get(type) ?? "no",
			`README.md, What works today, the row of ${type}`,
		).toBe(await abilities(type));
	});
});
