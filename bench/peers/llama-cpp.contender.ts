/** Native llama.cpp, as node-llama-cpp ships it: node llama-cpp.contender.ts MODEL THREADS */
import { statSync } from "node:fs";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { serveRounds } from "../contender.ts";

const [path, threads] = process.argv.slice(2) as [string, string];

/** One token per step, or as much of a prompt as llama-bench gives at once. */
const BATCH_TOKENS = 512;

/** The part of node-llama-cpp's bindings that decodes batches without choosing tokens from them. */
interface Context {
	initBatch(size: number): void;
	addToBatch(
		sequence: number,
		position: number,
		tokens: Uint32Array,
		wanted: Uint32Array,
	): Uint32Array;
	decodeBatch(): Promise<void>;
	disposeSequence(sequence: number): void;
}

const start = performance.now();
const llama = await getLlama({
	gpu: false,
	build: "never",
	logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath: path });
const { _ctx: context } = (await model.createContext({
	contextSize: 4096 + BATCH_TOKENS,
	batchSize: BATCH_TOKENS,
	threads: { ideal: Number(threads), min: Number(threads) },
})) as unknown as { _ctx: Context };
const features = llama.systemInfo.match(/AVX512\w*(?= = 1)/g) ?? ["no AVX512"];

async function step(position: number, ids: readonly number[]): Promise<void> {
	context.initBatch(ids.length);
	const wanted = Uint32Array.of(ids.length - 1);
	context.addToBatch(0, position, Uint32Array.from(ids), wanted);
	await context.decodeBatch();
}

serveRounds({
	loaded: {
		loadMs: performance.now() - start,
		weightBytes: statSync(path).size,
		about: `llama.cpp ${llama.llamaCppRelease.release}, ${features.join(" ")}`,
	},
	vocabularySize: model.fileInfo.metadata.tokenizer.ggml.tokens.length,
	async prefill(ids) {
		context.disposeSequence(0);
		for (let at = 0; at < ids.length; at += BATCH_TOKENS)
			await step(at, ids.slice(at, at + BATCH_TOKENS));
	},
	async decode(ids, count) {
		for (let i = 0; i < count; i++)
			await step(ids.length + i, [ids[i % ids.length]!]);
	},
});
