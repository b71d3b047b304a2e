/** A page of pages/ in Chromium as a contender: node chromium.contender.ts PAGE MODEL THREADS */
import { readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { serveRounds } from "../contender.ts";
import { weightsFile } from "../model-file.ts";
import { type Shape, type ShapeName, shapes } from "../shapes.ts";
import { openPage } from "./chromium.ts";
import type { Question } from "./pages/page.ts";
import { fileNames, type OnnxType, writeOnnx } from "./write-onnx.ts";

const [name, gguf, threads] = process.argv.slice(2) as [string, string, string];
const HERE = import.meta.dirname;
const packaged = (path: string) => join(HERE, "node_modules", path);

/** model-file.ts names files after their shapes. */
const shapeName = (Object.keys(shapes) as ShapeName[]).find((shape) =>
	basename(gguf).startsWith(`${shape}.`),
);
if (shapeName === undefined) throw new Error(`${gguf}: of no known shape`);
const shape: Shape = shapes[shapeName];

/** ONNX Runtime and transformers.js take the nearest that they have to the file's weights. */
const dtype: OnnxType = basename(gguf).includes("Q4") ? "q4" : "q8";
const onnx = join(dirname(gguf), `${shapeName}.onnx`);
const takesOnnx = name === "onnxruntime" || name === "transformers";
if (takesOnnx) writeOnnx(onnx, shape, dtype);
const model = takesOnnx ? join(onnx, fileNames[dtype]) : gguf;

const page = await openPage(
	join(HERE, "pages", `${name}.ts`),
	{
		threads,
		dtype,
		...(statSync(model).isDirectory() && {
			files: readdirSync(model).join(),
		}),
		layers: String(shape.num_hidden_layers),
		kvHeads: String(shape.num_key_value_heads),
		headSize: String(shape.head_dim),
	},
	{
		"/model": model,
		"/models": onnx,
		"/ort": packaged("onnxruntime-web/dist"),
		"/transformers-ort": dirname(
			createRequire(packaged("@huggingface/transformers/package.json")).resolve(
				"onnxruntime-web",
			),
		),
		"/single.wasm": packaged("wllama-2/esm/single-thread/wllama.wasm"),
		"/multi.wasm": packaged("wllama-2/esm/multi-thread/wllama.wasm"),
		"/wllama-3.wasm": packaged("wllama-3/esm/wasm/wllama.wasm"),
	},
);
process.on("exit", () => page.close());
for (const signal of ["SIGTERM", "SIGINT"])
	process.on(signal, () => process.exit());
const ask = (question: Question) => page.ask(question);
const { about, loadMs } = (await ask({ ask: "load" })) as {
	about: string;
	loadMs: number;
};

serveRounds({
	loaded: {
		loadMs,
		weightBytes: statSync(weightsFile(model)).size,
		about: `${about}, in Chromium`,
	},
	vocabularySize: shape.vocab_size,
	async prefill(ids) {
		await ask({ ask: "prefill", ids });
	},
	async decode(ids, count) {
		await ask({ ask: "decode", ids, count });
	},
	cpuMs: page.cpuMs,
	peakMemoryBytes: page.peakMemoryBytes,
});
