import { execFileSync } from "node:child_process";
import {
	existsSync,
	mkdirSync,
	readdirSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { buildSync } from "esbuild";

/** Runtimes, and what is prepared for them; git ignores it. */
const FOLDER = resolve("build/runtimes");

function npmInstall(folder: string, ...packages: string[]): void {
	execFileSync(
		"npm",
		["install", "--no-audit", "--no-fund", "--prefix", folder, ...packages],
		{ stdio: "pipe" },
	);
}

/** Folder in which npm packages are installed, once for all runs; the first names it. Throws where they cannot be had. */
export function installed(name: string, ...more: string[]): string {
	const folder = join(FOLDER, name.replace("@", "-"));
	const done = join(folder, "installed");
	if (existsSync(done)) return folder;
	mkdirSync(folder, { recursive: true });
	npmInstall(folder, name, ...more);
	writeFileSync(done, "");
	return folder;
}

/**
 * A folder with the packed package installed in it, as a stranger would have it.
 * @param name of the folder; test files that run at the same time need one each
 */
export function prepareStage(name = "stage"): string {
	const folder = join(FOLDER, name);
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
	// The build has just been made: scripts would make it again.
	const pack = ["pack", "--ignore-scripts", "--pack-destination", folder];
	execFileSync("npm", pack, { stdio: "pipe" });
	const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
	npmInstall(folder, join(folder, tarball));

	return folder;
}

/** Bundles a Worker as workerd takes it: one script, and WebAssembly modules beside it. */
export function bundleWorker(entry: string, folder: string): void {
	buildSync({
		entryPoints: [entry],
		outdir: folder,
		bundle: true,
		format: "esm",
		target: "es2022",
		conditions: ["workerd"],
		loader: { ".wasm": "copy" },
		assetNames: "[name]",
	});
}
