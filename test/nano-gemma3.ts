import { readdirSync } from "node:fs";
import { bytesRepository } from "../src/sources/bytes.ts";
import type { Repository } from "../src/sources/source.ts";
import { fixture, fixtureJson } from "./fixture.ts";

const FOLDER = "nano-gemma3";

/** What transformers' code computes of the model, in float32. */
export interface GoldenCase {
	readonly name: string;
	/** The prompt with its images expanded. */
	readonly text: string;
	readonly input_ids: number[];
	readonly last_logits: number[];
	/** Of each position. */
	readonly top5_ids: number[][];
	readonly top5_logits: number[][];
	readonly greedy_ids: number[];
	readonly greedy_text: string;
	readonly question: string;
	/** File beside the goldens. */
	readonly image?: string;
	/** The first soft token of the image. */
	readonly image_features_first_token?: number[];
}

export const golden: readonly GoldenCase[] = fixtureJson(
	`${FOLDER}/golden/golden.json`,
).cases;

/** A picture of a golden case. */
export const goldenImage = (file: string): Uint8Array =>
	fixture(`${FOLDER}/golden/${file}`);

type Config = Record<string, unknown> & { text_config: Config };

/** The model's files, with changes to config.json, and other files, or none, in place of some. */
export function nanoGemma3(
	change: (config: Config) => Record<string, unknown> = (config) => config,
	files: Record<string, Uint8Array | undefined> = {},
): Repository {
	const own = readdirSync(new URL(`fixtures/${FOLDER}/`, import.meta.url), {
		withFileTypes: true,
	}).filter((entry) => entry.isFile());
	const config = change(fixtureJson(`${FOLDER}/config.json`));
	const all: Record<string, Uint8Array | undefined> = {
		...Object.fromEntries(
			own.map(({ name }) => [name, fixture(`${FOLDER}/${name}`)]),
		),
		"config.json": new TextEncoder().encode(JSON.stringify(config)),
		...files,
	};
	const present = Object.entries(all).flatMap(([name, bytes]) =>
		bytes ? [[name, bytes] as const] : [],
	);
	return bytesRepository(Object.fromEntries(present), FOLDER);
}

/** As in float32, where embeddings are not scaled by a rounded number: what the goldens are. */
export const inFloat32 = (config: Config) => ({
	...config,
	torch_dtype: "float32",
});

/** The names that later versions of transformers give the tensors, or those of a text model. */
export function renamedWeights(rename: (name: string) => string): Uint8Array {
	const file = fixture(`${FOLDER}/model.safetensors`);
	const view = new DataView(file.buffer, file.byteOffset);
	const headerBytes = Number(view.getBigUint64(0, true));
	const header: Record<string, unknown> = JSON.parse(
		new TextDecoder().decode(file.subarray(8, 8 + headerBytes)),
	);
	const renamed = new TextEncoder().encode(
		JSON.stringify(
			Object.fromEntries(
				Object.entries(header).map(([name, tensor]) => [
					name === "__metadata__" ? name : rename(name),
					tensor,
				]),
			),
		),
	);
	const data = file.subarray(8 + headerBytes);
	const out = new Uint8Array(8 + renamed.length + data.length);
	new DataView(out.buffer).setBigUint64(0, BigInt(renamed.length), true);
	out.set(renamed, 8);
	out.set(data, 8 + renamed.length);
	return out;
}

export const largestDifference = (
	a: ArrayLike<number>,
	b: ArrayLike<number>,
): number =>
	Array.from(a).reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0);
