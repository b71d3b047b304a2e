import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** How a bundler turns main.js, which imports the library by its name, into something that runs. */
export interface Build {
	readonly name: string;
	/** What to install first; what this repository has where there is none. */
	readonly packages?: readonly [string, ...string[]];
	/** Name of the script that the page loads, where the bundler writes no page itself. */
	readonly script?: string;
	/** What comes out: a page, a script for Node, or a program. */
	readonly output: string;
	/**
	 * The program and its arguments, in the folder of main.js.
	 * @param home where the packages are installed
	 */
	command(folder: string, home: string): readonly string[];
}

const webpack =
	(target: string, experiments = "") =>
	(folder: string) => {
		writeFileSync(
			join(folder, "webpack.config.cjs"),
			`module.exports = {
	mode: "production", target: "${target}", entry: "./main.js", performance: false,
	output: { path: __dirname + "/out", filename: "main.js" }, ${experiments}
};`,
		);
		return ["webpack", "--config", "webpack.config.cjs"];
	};

const rollup =
	(options: string) =>
	(_: string, home: string): readonly string[] => {
		const config = join(home, `rollup-${options.length}.config.mjs`);
		writeFileSync(
			config,
			`import commonjs from "@rollup/plugin-commonjs";
import resolve from "@rollup/plugin-node-resolve";
export default {
	input: "main.js", output: { dir: "out", format: "es" },
	plugins: [resolve({ ${options} }), commonjs()],
	onLog(level, log) { if (level === "warn") throw new Error(log.message); },
};`,
		);
		return ["rollup", "--config", config];
	};

const WEBPACK = ["webpack", "webpack-cli"] as const;
const ROLLUP = [
	"rollup",
	"@rollup/plugin-node-resolve",
	"@rollup/plugin-commonjs",
] as const;

export const builds: readonly Build[] = [
	{
		name: "Vite, page",
		packages: ["vite"],
		output: "out/index.html",
		command: () => ["vite", "build", "--outDir", "out"],
	},
	{
		name: "webpack, page",
		packages: WEBPACK,
		script: "main.js",
		output: "out/index.html",
		command: webpack("web"),
	},
	{
		name: "webpack, Node",
		packages: WEBPACK,
		output: "out/main.js",
		command: webpack(
			"node20",
			'experiments: { outputModule: true }, output: { path: __dirname + "/out", filename: "main.js", module: true }',
		),
	},
	{
		name: "esbuild, page",
		script: "main.js",
		output: "out/index.html",
		command: () => [
			"esbuild",
			"main.js",
			"--bundle",
			"--splitting",
			"--format=esm",
			"--minify",
			"--outdir=out",
		],
	},
	{
		name: "esbuild, page, one classic script",
		script: "main.iife.js",
		output: "out/index.html",
		command: () => [
			"esbuild",
			"main.js",
			"--bundle",
			"--minify",
			"--outfile=out/main.iife.js",
		],
	},
	{
		name: "esbuild, Node",
		output: "out/main.mjs",
		command: () => [
			"esbuild",
			"main.js",
			"--bundle",
			"--platform=node",
			"--format=esm",
			"--outfile=out/main.mjs",
		],
	},
	{
		name: "Rollup, page",
		packages: ROLLUP,
		script: "main.js",
		output: "out/index.html",
		command: rollup("browser: true"),
	},
	{
		name: "Rollup, Node",
		packages: ROLLUP,
		output: "out/main.js",
		command: rollup('exportConditions: ["node"]'),
	},
	{
		name: "Rolldown, page",
		packages: ["rolldown"],
		script: "main.js",
		output: "out/index.html",
		command: () => [
			"rolldown",
			"main.js",
			"--dir",
			"out",
			"--platform",
			"browser",
		],
	},
	{
		name: "bun build, page",
		packages: ["bun"],
		script: "main.js",
		output: "out/index.html",
		command: () => ["bun", "build", "main.js", "--minify", "--outdir", "out"],
	},
	{
		name: "bun build --compile",
		packages: ["bun"],
		output: "out/main",
		command: () => [
			"bun",
			"build",
			"main.js",
			"--compile",
			"--outfile",
			"out/main",
		],
	},
];
