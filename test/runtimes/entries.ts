import {
	closeSync,
	cpSync,
	openSync,
	readFileSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { bundleWorker } from "./stage.ts";

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
 * Adds the behaviours to a stage: what they read, and an entry for each kind of runtime.
 * @param hub endpoint of a Hub that has the embedded model as nano/smol
 */
export function addBehaviours(folder: string, hub: string): void {
	const write = (name: string, text: string) =>
		writeFileSync(join(folder, name), text);
	write("setting.json", JSON.stringify({ hub }));
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
