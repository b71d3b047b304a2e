import { execFileSync } from "node:child_process";
import {
	closeSync,
	cpSync,
	existsSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
	writeSync,
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

const SCRIPT = `import * as library from "nibble-lm";
import { behave } from "./behaviours.mjs";
import process from "node:process";
const [, , site, folder] = process.argv;
console.log(JSON.stringify(await behave({ library, site, folder })));
`;

const importMap = {
	imports: {
		"nibble-lm": "/node_modules/nibble-lm/dist/runtime/web.js",
		"@huggingface/jinja": "/node_modules/@huggingface/jinja/dist/index.js",
		"@huggingface/tokenizers":
			"/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs",
		fflate: "/node_modules/fflate/esm/browser.js",
	},
};

const PAGE = `<!doctype html>
<script type="importmap">${JSON.stringify(importMap)}</script>
<script type="module">
	const post = (body) => fetch("/report", { method: "POST", body });
	try {
		const library = await import("nibble-lm");
		const { behave } = await import("./behaviours.mjs");
		await post(JSON.stringify(await behave({ library, site: location.origin })));
	} catch (error) {
		await post(String(error?.stack ?? error));
	}
</script>
`;

/** The same page, which a service worker isolates: what runs before that is thrown away. */
const COI_PAGE = PAGE.replace(
	'<script type="module">',
	'<script src="coi-serviceworker.js"></script><script type="module">if (!crossOriginIsolated) await new Promise(() => {});',
);

const WORKER = `import * as library from "nibble-lm";
import { behave } from "./behaviours.mjs";
export default {
	async fetch(request) {
		try {
			return Response.json(await behave({ library, site: await request.text() }));
		} catch (error) {
			return new Response(String(error?.stack ?? error));
		}
	},
};
`;

/**
 * A folder with the packed package installed in it, as a stranger would have it, and an entry for each kind of runtime.
 * @param name of the folder; test files that run at the same time need one each
 */
export function prepareStage(name = "stage"): string {
	const folder = join(FOLDER, name);
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	const write = (name: string, text: string) =>
		writeFileSync(join(folder, name), text);
	write("package.json", '{ "type": "module" }');
	// The build has just been made: scripts would make it again.
	const pack = ["pack", "--ignore-scripts", "--pack-destination", folder];
	execFileSync("npm", pack, { stdio: "pipe" });
	const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
	npmInstall(folder, join(folder, tarball));

	cpSync("models/nano-smollm3", join(folder, "model"), { recursive: true });
	cpSync("test/fixtures/nano-smollm3/golden.json", join(folder, "golden.json"));
	writeLarge(join(folder, "large"));
	cpSync("test/fixtures/nano-gemma3", join(folder, "nano-gemma3"), {
		recursive: true,
	});
	cpSync("test/fixtures/vision", join(folder, "pictures"), { recursive: true });
	buildSync({
		entryPoints: ["test/runtimes/behaviours.ts"],
		outfile: join(folder, "behaviours.mjs"),
		format: "esm",
		target: "es2022",
	});
	write("script.mjs", SCRIPT);
	write("page.html", PAGE);
	write("coi.html", COI_PAGE);
	cpSync(
		join(folder, "node_modules/nibble-lm/dist/runtime/coi-serviceworker.js"),
		join(folder, "coi-serviceworker.js"),
	);
	write("worker-entry.mjs", WORKER);
	bundleWorker(join(folder, "worker-entry.mjs"), join(folder, "worker"));
	return folder;
}

/** Beyond what 32 bits count, and what most files of models have. */
const PADDING_BYTES = 5e9;

/** The embedded model behind so many bytes of a tensor that nobody needs. They are a hole in the file, and take no space. */
function writeLarge(folder: string): void {
	cpSync("models/nano-smollm3", folder, { recursive: true });
	const path = join(folder, "model.safetensors");
	const own = readFileSync(path);
	const start = 8 + Number(own.readBigUInt64LE());
	const header = JSON.parse(own.toString("utf8", 8, start));
	for (const tensor of Object.values<{ data_offsets?: number[] }>(header))
		if (tensor.data_offsets)
			tensor.data_offsets = tensor.data_offsets.map((at) => at + PADDING_BYTES);
	header.padding = {
		dtype: "U8",
		shape: [PADDING_BYTES],
		data_offsets: [0, PADDING_BYTES],
	};
	const text = Buffer.from(JSON.stringify(header));
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(text.length));
	const file = openSync(path, "w");
	writeSync(file, Buffer.concat([length, text]), 0, 8 + text.length, 0);
	const data = own.subarray(start);
	writeSync(file, data, 0, data.length, 8 + text.length + PADDING_BYTES);
	closeSync(file);
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
