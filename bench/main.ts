/**
 * npm run bench [-- --shapes … --json]: kernels, loading, then whole models; model.bench.ts says what can be chosen.
 * `--only kernels`, `--only loading` and `--only models` leave the others out. `--only formats`, which is never done
 * otherwise, is all formats side by side.
 */
import { benchFormats, formatDefaults, printFormats } from "./format.bench.ts";
import { benchKernels, printKernels } from "./kernels.bench.ts";
import { benchLoads, printLoads } from "./load.bench.ts";
import { benchModels, printModels, readOptions } from "./model.bench.ts";

const args = process.argv.slice(2);
const at = args.indexOf("--only");
const only = at < 0 ? undefined : args.splice(at, 2)[1];
const isJson = args.includes("--json");
const relaxed = Number(process.versions.node.split(".")[0]) >= 22;

if (only === undefined || only === "kernels") {
	const shapes = ["SmolLM2-135M", "SmolLM2-1.7B", "SmolLM3-3B"] as const;
	const speeds = await benchKernels(shapes, relaxed ? "relaxed" : "simd");
	console.log(
		isJson ? JSON.stringify(speeds, null, 2) : await printKernels(speeds),
	);
}
if (only === undefined || only === "loading") {
	const bench = await benchLoads(readOptions(args));
	console.log(isJson ? JSON.stringify(bench, null, 2) : printLoads(bench));
}
if (only === undefined || only === "models") {
	const bench = await benchModels(readOptions(args));
	console.log(isJson ? JSON.stringify(bench, null, 2) : printModels(bench));
}
if (only === "formats") {
	const bench = await benchFormats(readOptions(args, formatDefaults));
	console.log(isJson ? JSON.stringify(bench, null, 2) : printFormats(bench));
}
