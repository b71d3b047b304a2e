import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type {
	Contents,
	Folder,
	Format,
	Origins,
	StoredTensor,
} from "./checkpoint.ts";
import { configOf, keyHeads, keysOf, type TensorFacts } from "./gguf-config.ts";
import { Shortage } from "./gguf-cursor.ts";
import { samplingOf, tokenIdsOf } from "./gguf-generation.ts";
import { type GgufHeader, isGguf, parseHeader } from "./gguf-header.ts";
import { canonicalTensors } from "./gguf-names.ts";
import { mmprojConfig, mmprojTensors } from "./mmproj.ts";
import { storedTensor } from "./stored.ts";

/** GGUF, in one file or split into parts named <prefix>-00001-of-00003.gguf, and so on. */
export const gguf: Format = {
	name: "gguf",
	matches: isGguf,
	async open(source, folder) {
		const header = await readHeader(source);
		const { metadata, overview } = header;
		const architecture =
			keysOf(metadata, "general.", source.name).text("architecture") ?? "";
		const stored = new Map<string, StoredTensor>();
		addTensors(stored, source, header);
		await addParts(stored, source, header, folder);

		const keys = keysOf(metadata, `${architecture}.`, source.name);
		if (architecture === "clip")
			return {
				tensors: mmprojTensors(stored),
				metadata: overview,
				config: mmprojConfig(keys, source.name),
				origins: originsIn(source),
			} satisfies Contents;
		const divisors = await takeDivisors(stored);
		const facts = factsOf(stored, divisors);
		const heads = {
			query: keys.number("attention.head_count"),
			key: keyHeads(keys),
		};
		const tokenIds = tokenIdsOf(metadata, source.name);
		return {
			tensors: canonicalTensors(architecture, heads, stored.values()),
			metadata: overview,
			config: {
				...configOf(architecture, metadata, facts, source.name),
				...tokenIds,
			},
			origins: originsIn(source),
			generationConfig: { ...tokenIds, ...samplingOf(metadata, source.name) },
			...(metadata.has("tokenizer.ggml.tokens") && {
				tokenizer: { kind: "gguf" as const, metadata },
			}),
		} satisfies Contents;
	},
};

/** Its metadata, after they were put into the words of Hugging Face's files. */
function originsIn({ name }: ByteSource): Origins {
	const words = (file: string) => `${name}: metadata, in ${file}'s words`;
	return {
		config: words("config.json"),
		generationConfig: words("generation_config.json"),
		processor: words("preprocessor_config.json"),
	};
}

/** Enough for the header of a small vocabulary; longer headers are read on. */
const FIRST_READ_BYTES = 2 ** 20;
const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
/** One divisor for each pair of a head's dimensions; heads have a few hundred. */
const MAX_DIVISORS = 4096;

async function readHeader(source: ByteSource): Promise<GgufHeader> {
	const { name, size } = source;
	let bytes = await source.read(0, Math.min(size, FIRST_READ_BYTES));
	for (;;) {
		try {
			return parseHeader(bytes, size, name);
		} catch (error) {
			if (!(error instanceof Shortage)) throw error;
			const more = Math.min(size, Math.max(error.needed, 2 * bytes.length));
			const grown = new Uint8Array(more);
			grown.set(bytes);
			const rest = grown.subarray(bytes.length);
			await source.read(bytes.length, rest.length, rest);
			bytes = grown;
		}
	}
}

function addTensors(
	tensors: Map<string, StoredTensor>,
	source: ByteSource,
	header: GgufHeader,
): void {
	for (const { name, shape, type, bytes, offset } of header.tensors) {
		if (tensors.has(name))
			throw new CheckpointError(
				`${source.name}: tensor ${name} is already in ${tensors.get(name)?.file}`,
			);
		const about = { name, shape, type: type.name, bytes };
		tensors.set(name, storedTensor(source, offset, about));
	}
}

/** Only the first part has the metadata; all parts have `split.no` (from 0), `split.count` and `split.tensors.count`. */
async function addParts(
	tensors: Map<string, StoredTensor>,
	source: ByteSource,
	header: GgufHeader,
	folder: Folder,
): Promise<void> {
	const count = splitKeys(header, source).number("count") ?? 1;
	if (count <= 1) return;
	const name = PART.exec(folder.file);
	if (Number(name?.[3]) !== count || Number(name?.[2]) !== 1)
		throw new CheckpointError(
			`${source.name}: part of a file split into ${count}; open the first part, under the name it was written with (…-00001-of-${digits(count)}.gguf)`,
		);
	checkPart(source, header, 0, count);
	for (let no = 1; no < count; no++) {
		const file = `${name?.[1]}-${digits(no + 1)}-of-${digits(count)}.gguf`;
		const part = await folder.open(file);
		if (!part)
			throw new CheckpointError(
				`${source.name}: part ${file} is missing beside it`,
			);
		const next = await readHeader(part);
		checkPart(part, next, no, count);
		addTensors(tensors, part, next);
	}
	const total = splitKeys(header, source).number("tensors.count");
	if (total !== tensors.size)
		throw new CheckpointError(
			`${source.name}: its ${count} parts hold ${tensors.size} tensors, split.tensors.count is ${total}`,
		);
}

function checkPart(
	source: ByteSource,
	header: GgufHeader,
	no: number,
	count: number,
): void {
	const keys = splitKeys(header, source);
	if (keys.number("no") !== no || keys.number("count") !== count)
		throw new CheckpointError(
			`${source.name}: split.no is ${keys.number("no")} of ${keys.number("count")}, expected ${no} of ${count}`,
		);
}

function splitKeys(header: GgufHeader, source: ByteSource) {
	return keysOf(header.metadata, "split.", source.name);
}

function digits(number: number): string {
	return String(number).padStart(5, "0");
}

/** Removes rope_freqs.weight from the tensors: it says how to rotate, so it belongs to the config. */
async function takeDivisors(
	tensors: Map<string, StoredTensor>,
): Promise<readonly number[] | undefined> {
	const stored = tensors.get("rope_freqs.weight");
	if (!stored) return undefined;
	tensors.delete(stored.name);
	const { shape, type, file } = stored;
	if (type !== "F32" || shape.length !== 1 || (shape[0] ?? 0) > MAX_DIVISORS)
		throw new CheckpointError(
			`${file}: rope_freqs.weight is ${type} [${shape}], expected F32 of one dimension up to ${MAX_DIVISORS}`,
		);
	const bytes = await stored.read();
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	return Array.from({ length: bytes.length / 4 }, (_, i) =>
		view.getFloat32(4 * i, true),
	);
}

function factsOf(
	tensors: ReadonlyMap<string, StoredTensor>,
	divisors: readonly number[] | undefined,
): TensorFacts {
	const embedding = tensors.get("token_embd.weight");
	return {
		vocabulary: embedding?.shape[0],
		tied: embedding && !tensors.has("output.weight"),
		attentionBias: tensors.has("blk.0.attn_q.bias"),
		mlpBias: tensors.has("blk.0.ffn_up.bias"),
		divisors,
	};
}
