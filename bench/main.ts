/** npm run bench [-- --shapes … --json]: model.bench.ts says what can be chosen. */
import { benchModels, printModels, readOptions } from "./model.bench.ts";

const args = process.argv.slice(2);
const bench = await benchModels(readOptions(args));
console.log(
	args.includes("--json") ? JSON.stringify(bench, null, 2) : printModels(bench),
);
