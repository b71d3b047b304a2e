/** Runs in a page: fetches a file of a Hub through each of the page's storages, twice, and says what happened. */
import { storageCache } from "../src/runtime/web-cache.ts";
import { cacheStorage, fileStorage } from "../src/runtime/web-storage.ts";
import { openHub } from "../src/sources/hub.ts";
import { sha256 } from "../src/sources/sha.ts";

const PART_BYTES = 2 ** 20;

export interface PageReport {
	readonly storage: string;
	/** Of the file, each time. */
	readonly sha256: readonly string[];
	/** Each time. */
	readonly statuses: readonly (readonly string[])[];
	/** Bytes that were there when an interrupted download was taken up. */
	readonly resumedBytes: number;
	/** Size of the file that two asked for at the same time, as two tabs would. */
	readonly sharedBytes: number;
}

export async function main(
	endpoint: string,
	repo: string,
	file: string,
	shared: string,
	token: string,
): Promise<readonly PageReport[]> {
	const reports: PageReport[] = [];
	for (const openStorage of [fileStorage, cacheStorage]) {
		const storage = await openStorage();
		if (!storage) continue;
		const cache = storageCache(storage, PART_BYTES);
		const report = { sha256: [] as string[], statuses: [] as string[][] };
		let resumedBytes = 0;
		const fetchFile = async (
			control = new AbortController(),
			stopAt = 1e12,
		) => {
			const statuses = new Set<string>();
			const { from } = await openHub(
				{ repo },
				{
					hub: { endpoint, token },
					surroundings: { openCache: async () => cache },
					signal: control.signal,
					onProgress({ status, loaded }) {
						statuses.add(status);
						if (status === "download") resumedBytes = loaded;
						if (loaded > stopAt) control.abort(new Error("interrupted"));
					},
				},
			);
			const source = (await from.open(file))!;
			const hasher = sha256();
			for (let at = 0; at < source.size; at += 700_000)
				hasher.update(
					await source.read(at, Math.min(700_000, source.size - at)),
				);
			report.sha256.push(hasher.digest());
			report.statuses.push([...statuses]);
		};
		await fetchFile(new AbortController(), 2_500_000).catch((error) => {
			if (error.message !== "interrupted") throw error;
		});
		await fetchFile();
		await fetchFile();
		const fetchShared = async () => {
			const { from } = await openHub(
				{ repo },
				{
					hub: { endpoint, token },
					surroundings: { openCache: async () => cache },
				},
			);
			return (await from.open(shared))?.size ?? 0;
		};
		const [sharedBytes] = await Promise.all([fetchShared(), fetchShared()]);
		reports.push({
			storage: storage.name,
			...report,
			resumedBytes,
			sharedBytes,
		});
	}
	return reports;
}
