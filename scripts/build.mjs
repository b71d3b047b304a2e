// npm run build: AssemblyScript → build/*.wasm and src/engine/signatures.ts → src/embedded/*.js → dist/.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
	chmodSync,
	cpSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { writeSignatures } from "../assembly/signatures.mjs";

const MODEL = "models/nano-smollm3";
const bin = (name) => join("node_modules", ".bin", name);

function run(command, ...args) {
	const { status, error } = spawnSync(command, args, { stdio: "inherit" });
	if (error) throw error;
	if (status !== 0) process.exit(status ?? 1);
}

/** As `run`, while others run. */
async function runBeside(command, ...args) {
	const [status] = await once(
		spawn(command, args, { stdio: "inherit" }),
		"exit",
	);
	if (status !== 0) process.exit(status ?? 1);
}

/** Time of the newest file in these files and folders. */
function newest(...paths) {
	return Math.max(
		...paths.map((path) =>
			statSync(path).isDirectory()
				? newest(...readdirSync(path).map((name) => join(path, name)))
				: statSync(path).mtimeMs,
		),
	);
}

const isStale = (output, ...inputs) =>
	!existsSync(output) || newest(...inputs) > statSync(output).mtimeMs;

/** Builds of the kernels by name, with the list of kernels that each compiles. asconfig.json has their options. */
const BUILDS = {
	simd: "assembly/index.ts",
	relaxed: "assembly/index.ts",
	"simd-rare": "assembly/rare.ts",
	"relaxed-rare": "assembly/rare.ts",
};

mkdirSync("src/embedded", { recursive: true });
await Promise.all(
	Object.entries(BUILDS).map(async ([name, entry]) => {
		const wasm = `build/${name}.wasm`;
		if (isStale(wasm, "assembly", "asconfig.json"))
			await runBeside(
				bin("asc"),
				entry,
				"--target",
				name,
				"--transform",
				"./assembly/signatures.mjs",
			);
		const base64 = readFileSync(wasm).toString("base64");
		writeFileSync(
			`src/embedded/${name}.js`,
			`export const base64 = "${base64}";\n`,
		);
	}),
);
writeSignatures();

if (isStale("src/embedded/model.js", MODEL)) {
	const files = readdirSync(MODEL)
		.sort()
		.map((name) => [name, readFileSync(join(MODEL, name)).toString("base64")]);
	writeFileSync(
		"src/embedded/model.js",
		`export const files = ${JSON.stringify(Object.fromEntries(files))};\n`,
	);
}

/** Bundles the code of a worker into a module that exports its text. The second may hold the first. */
for (const [name, entry] of [
	["worker", "src/runtime/part.ts"],
	["engine", "src/runtime/web-worker.ts"],
]) {
	const [{ text }] = buildSync({
		entryPoints: [entry],
		bundle: true,
		format: "esm",
		minify: true,
		target: "es2022",
		// Browsers decode these images themselves.
		external: ["jpeg-js", "@jsquash/webp"],
		write: false,
	}).outputFiles;
	writeFileSync(
		`src/embedded/${name}.js`,
		`export const source = ${JSON.stringify(text)};\n`,
	);
}

// Put together beside dist, so that a build that fails leaves the last one in place.
const OUT = "build/dist";
rmSync(OUT, { recursive: true, force: true });
run(bin("tsc"), "-p", "tsconfig.build.json", "--outDir", OUT);
mkdirSync(`${OUT}/embedded`, { recursive: true });
for (const name of readdirSync("src/embedded")) {
	if (name.endsWith(".js"))
		cpSync(join("src/embedded", name), join(OUT, "embedded", name));
}
for (const name of Object.keys(BUILDS))
	cpSync(`build/${name}.wasm`, `${OUT}/embedded/${name}.wasm`);
// A service worker that every browser takes is no module.
buildSync({
	entryPoints: ["src/runtime/coi-serviceworker.ts"],
	outfile: `${OUT}/runtime/coi-serviceworker.js`,
	format: "iife",
	target: "es2020",
});
chmodSync(`${OUT}/cli/main.js`, 0o755);
rmSync("dist", { recursive: true, force: true });
renameSync(OUT, "dist");
