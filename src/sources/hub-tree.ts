import {
	type HubFile,
	isEtag,
	isRecord,
	isSize,
	staysInside,
} from "./hub-api.ts";

const TREE_VERSION = 1;

interface Tree {
	readonly format_version: number;
	readonly files: Readonly<Record<string, TreeFile>>;
}
interface TreeFile {
	readonly size: number;
	readonly blob_id: string;
	readonly lfs_sha256?: string;
	readonly lfs_size?: number;
	readonly xet_hash?: string;
}

/** All files of a commit as Python's huggingface_hub writes them down. */
export function treeText(files: readonly HubFile[]): string {
	const entries = files.map(
		({ path, sizeBytes, etag, blobId = "", xetHash }): [string, TreeFile] => [
			path,
			{
				size: sizeBytes,
				blob_id: blobId,
				...(etag !== undefined &&
					etag !== blobId && { lfs_sha256: etag, lfs_size: sizeBytes }),
				...(xetHash !== undefined && { xet_hash: xetHash }),
			},
		],
	);
	const tree: Tree = {
		format_version: TREE_VERSION,
		files: Object.fromEntries(entries),
	};
	return JSON.stringify(tree, undefined, 1);
}

/** undefined for what is damaged or of another version: the Hub knows too. */
export function parseTree(
	text: string | undefined,
): readonly HubFile[] | undefined {
	if (text === undefined) return undefined;
	let tree: unknown;
	try {
		tree = JSON.parse(text);
	} catch {
		return undefined;
	}
	if (
		!isRecord(tree) ||
		tree.format_version !== TREE_VERSION ||
		!isRecord(tree.files)
	)
		return undefined;
	const files: HubFile[] = [];
	for (const [path, file] of Object.entries(tree.files)) {
		if (!isRecord(file)) return undefined;
		const { blob_id, lfs_sha256 } = file;
		const etag = lfs_sha256 ?? blob_id;
		const sizeBytes = file.lfs_size ?? file.size;
		if (!staysInside(path) || !isEtag(etag) || !isSize(sizeBytes))
			return undefined;
		files.push({ path, sizeBytes, etag });
	}
	return files;
}
