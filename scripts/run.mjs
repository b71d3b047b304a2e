// node scripts/run.mjs FILE.ts [ARGUMENTS]: runs TypeScript on every supported Node.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const [, , file, ...rest] = process.argv;
const outfile = join(
	"build",
	file.replace(/[/.]/g, "-").replace(/-ts$/, ".mjs"),
);
await build({
	entryPoints: [file],
	outfile,
	bundle: true,
	platform: "node",
	format: "esm",
	packages: "external",
	logLevel: "error",
});
process.argv = [process.argv[0], file, ...rest];
await import(pathToFileURL(outfile).href);
