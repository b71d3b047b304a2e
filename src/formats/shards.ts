import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { Contents, Folder, StoredTensor } from "./checkpoint.ts";
import { excerpt, isRecord } from "./json.ts";

/**
 * Reads the files that an index names, `{ "weight_map": { tensor: file, … } }`. Every tensor of the map must be in its
 * file; tensors that a file has beyond the map are kept.
 */
export async function openShards(
	index: Readonly<Record<string, unknown>>,
	folder: Folder,
	openFile: (source: ByteSource) => Promise<Contents>,
): Promise<Contents> {
	const entries = entriesOf(index, folder.file);
	const tensors = new Map<string, StoredTensor>();
	const metadata: Record<string, unknown> = {};
	const shards = new Map<string, Contents>();
	for (const shard of new Set(entries.values())) {
		const source = await folder.open(shard);
		if (!source)
			throw new CheckpointError(
				`${folder.file}: the file ${shard} that it names is missing beside it`,
			);
		const contents = await openFile(source);
		shards.set(shard, contents);
		Object.assign(metadata, contents.metadata);
		for (const [name, tensor] of contents.tensors)
			if (!entries.has(name)) tensors.set(name, tensor);
	}
	for (const [name, shard] of entries) {
		const contents = shards.get(shard);
		const tensor = contents?.tensors.get(name);
		// A quantized tensor of a torch archive is there in parts, which the metadata describes under its name.
		if (!tensor && isRecord(contents?.metadata[name])) continue;
		if (!tensor)
			throw new CheckpointError(
				`${folder.file}: tensor ${excerpt(name)} is not in ${shard}, which it names`,
			);
		tensors.set(name, tensor);
	}
	return { tensors, metadata };
}

function entriesOf(
	index: Readonly<Record<string, unknown>>,
	file: string,
): ReadonlyMap<string, string> {
	const map = index.weight_map;
	if (!isRecord(map))
		throw new CheckpointError(`${file}: weight_map is not an object`);
	const entries = new Map<string, string>();
	for (const [name, shard] of Object.entries(map)) {
		if (typeof shard !== "string" || !staysBeside(shard))
			throw new CheckpointError(
				`${file}: tensor ${excerpt(name)} is in the file ${excerpt(shard)}, expected one beside the index`,
			);
		entries.set(name, shard);
	}
	return entries;
}

/** An index must not lead anywhere else: neither up nor to the root, another drive or another server. */
function staysBeside(file: string): boolean {
	return (
		!/[\\:\0]/.test(file) &&
		file.split("/").every((step) => step !== "" && !/^\.+$/.test(step))
	);
}
