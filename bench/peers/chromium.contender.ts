/** A page of pages/ in Chromium as a contender: node chromium.contender.ts PAGE MODEL THREADS */
import { statSync } from "node:fs";
import { join } from "node:path";
import { serveRounds } from "../contender.ts";
import { type Shape, type ShapeName, shapes } from "../shapes.ts";
import { openPage } from "./chromium.ts";
import type { Question } from "./pages/page.ts";
import { writeOnnx } from "./write-onnx.ts";

const [name, gguf, threads] = process.argv.slice(2) as [string, string, string];
const HERE = import.meta.dirname;
const packaged = (path: string) => join(HERE, "node_modules", path);

const shape = shapeOf(gguf);
const model = name === "onnxruntime" ? onnxFor(gguf) : gguf;

const page = await openPage(
	join(HERE, "pages", `${name}.ts`),
	{
		threads,
		layers: String(shape.num_hidden_layers),
		kvHeads: String(shape.num_key_value_heads),
		headSize: String(shape.head_dim),
	},
	{
		"/model": model,
		"/ort": packaged("onnxruntime-web/dist"),
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
		weightBytes: statSync(model).size,
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

/** model-file.ts names files after their shapes. */
function shapeOf(path: string): Shape {
	const name = (Object.keys(shapes) as ShapeName[]).find((name) =>
		path.includes(name),
	);
	if (name === undefined) throw new Error(`${path}: of no known shape`);
	return shapes[name];
}

/** The nearest that ONNX Runtime has to the file's weights, beside the file. */
function onnxFor(path: string): string {
	const type = path.includes("Q4") ? "q4" : "q8";
	const onnx = path.replace(/[^.]+\.gguf$/, `${type}.onnx`);
	writeOnnx(onnx, shape, type);
	return onnx;
}
