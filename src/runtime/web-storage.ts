/** Named, unchanging pieces of data that outlive the page. Names have "/" between folders. */
export interface Storage {
	/** For error messages. */
	readonly name: string;
	read(name: string): Promise<Blob | undefined>;
	/** All of it or nothing. */
	write(name: string, bytes: Uint8Array): Promise<void>;
	/** A piece, or all below a folder. */
	remove(name: string): Promise<void>;
}

const FOLDER = "nibble-lm";

/** What the page may keep: files of its own where code can write them, else the Cache API; undefined where neither works. */
export async function openStorage(): Promise<Storage | undefined> {
	return (await fileStorage()) ?? (await cacheStorage());
}

/** The origin private file system. */
export async function fileStorage(): Promise<Storage | undefined> {
	// Safari wrote these files only from workers for a long time.
	const writable =
		typeof FileSystemFileHandle === "function" &&
		"createWritable" in FileSystemFileHandle.prototype;
	if (!writable) return undefined;
	const root = await navigator.storage
		.getDirectory()
		.then((root) => root.getDirectoryHandle(FOLDER, { create: true }))
		.catch(() => undefined);
	if (!root) return undefined;
	const folderOf = async (steps: readonly string[], create: boolean) => {
		let folder = root;
		for (const step of steps)
			folder = await folder.getDirectoryHandle(step, { create });
		return folder;
	};
	return {
		name: "the page's files",
		read: (name) =>
			unlessMissing(async () => {
				const [file, folders] = split(name);
				const folder = await folderOf(folders, false);
				return (await folder.getFileHandle(file)).getFile();
			}),
		async write(name, bytes) {
			const [file, folders] = split(name);
			const folder = await folderOf(folders, true);
			const handle = await folder.getFileHandle(file, { create: true });
			// Appears under its name when it is closed.
			const stream = await handle.createWritable();
			try {
				await stream.write(bytes as Uint8Array<ArrayBuffer>);
			} catch (error) {
				await stream.abort().catch(() => {});
				throw error;
			}
			await stream.close();
		},
		async remove(name) {
			await unlessMissing(async () => {
				const [file, folders] = split(name);
				const folder = await folderOf(folders, false);
				await folder.removeEntry(file, { recursive: true });
			});
		},
	};
}

/** The Cache API, with addresses that nobody has. */
export async function cacheStorage(): Promise<Storage | undefined> {
	if (typeof caches === "undefined") return undefined;
	const cache = await caches.open(FOLDER).catch(() => undefined);
	if (!cache || !(await keeps(cache))) return undefined;
	const base = `https://${FOLDER}.invalid/`;
	const addressOf = (name: string) =>
		base + name.split("/").map(encodeURIComponent).join("/");
	return {
		name: "the page's cache",
		async read(name) {
			const found = await cache.match(addressOf(name));
			return found?.blob();
		},
		async write(name, bytes) {
			const body = bytes as Uint8Array<ArrayBuffer>;
			await cache.put(addressOf(name), new Response(body));
		},
		async remove(name) {
			const address = addressOf(name);
			for (const { url } of await cache.keys())
				if (url === address || url.startsWith(`${address}/`))
					await cache.delete(url);
		},
	};
}

/** Some caches take everything and have nothing afterwards: WebKit's in private windows, once a worker that used it was ended. */
async function keeps(cache: Cache): Promise<boolean> {
	const address = `https://${FOLDER}.invalid/probe`;
	return cache
		.put(address, new Response("kept"))
		.then(() => cache.match(address))
		.then(
			(found) => found !== undefined,
			() => false,
		);
}

/** The last step, and those before it. */
function split(name: string): [file: string, folders: string[]] {
	const steps = name.split("/").map(encodeURIComponent);
	return [steps.at(-1) ?? "", steps.slice(0, -1)];
}

async function unlessMissing<T>(work: () => Promise<T>) {
	try {
		return await work();
	} catch (error) {
		if (error instanceof DOMException && error.name === "NotFoundError")
			return undefined;
		throw error;
	}
}
