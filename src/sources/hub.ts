import { OptionError, SourceError } from "../errors.ts";
import {
	type CacheOptions,
	fetchCached,
	findCached,
	type HubCache,
	note,
} from "./cache.ts";
import { download } from "./download.ts";
import { addressOf, type UrlOptions } from "./http.ts";
import {
	askCommit,
	askFiles,
	connect,
	fileUrl,
	type Hub,
	type HubFile,
	isCommit,
	staysInside,
} from "./hub-api.ts";
import { chooseQuant, type HubName } from "./hub-name.ts";
import { GLANCE_BYTES, lateSource } from "./late-source.ts";
import type { ByteSource, Repository } from "./source.ts";
import { urlSource } from "./url.ts";

export interface HubOptions {
	/** A branch, a tag, or a commit. @default what the name says after "@", else "main" */
	readonly revision?: string | undefined;
	/** Sent to the endpoint and to no other server. @default HF_TOKEN, or what `hf auth login` saved, where the runtime has these */
	readonly token?: string | undefined;
	/** Address of the Hub. @default HF_ENDPOINT, else "https://huggingface.co" */
	readonly endpoint?: string | undefined;
	/**
	 * A folder to keep files in, or false to keep none and read them by ranges from the network, each time anew.
	 * @default the folder that Python uses (HF_HUB_CACHE, HF_HOME), the page's own storage in browsers, none at the edge
	 */
	readonly cache?: string | boolean | undefined;
	/** Use what is in the cache and ask nobody. @default whether HF_HUB_OFFLINE is 1 */
	readonly localFilesOnly?: boolean | undefined;
}

/** What surrounds the program says about the Hub, and where it keeps files. */
export interface HubSurroundings {
	readonly token?: string | undefined;
	readonly endpoint?: string | undefined;
	readonly offline?: boolean | undefined;
	/** The cache in a folder, or in the usual place; undefined where nothing can be kept. */
	openCache?(folder?: string): Promise<HubCache | undefined>;
}

export interface OpenHubOptions extends CacheOptions {
	readonly hub?: HubOptions | undefined;
	readonly surroundings?: HubSurroundings | undefined;
	/** How requests are made. */
	readonly http?: UrlOptions | undefined;
}

/** A commit whose files can be opened. */
interface Snapshot {
	readonly commit: string;
	/** By their paths. */
	readonly files: ReadonlyMap<string, HubFile>;
	/** Why the Hub is not asked; undefined where it is. */
	readonly offline: SourceError | undefined;
}

const ENDPOINT = "https://huggingface.co";
/** For a question whose answer is in the cache too, if perhaps an old one. */
const IMPATIENT = { retries: 0, idleMilliseconds: 10_000 };

/**
 * A model on the Hugging Face Hub as a repository of one commit, whatever happens to the branch meanwhile. Files go into
 * the cache when they are opened, large ones when they are read; `file` is the one that the name asked for.
 * @throws (rejects with) SourceError, whose message says what to do; OptionError
 */
export async function openHub(
	name: HubName,
	options: OpenHubOptions = {},
): Promise<{ from: Repository; file?: string }> {
	const { hub: wanted = {}, surroundings = {}, signal } = options;
	const { repo } = name;
	const revision = revisionOf(name, wanted);
	checkAccess(wanted);
	const cache = await openCache(wanted, surroundings);
	const hub = connect(
		repo,
		wanted.endpoint ?? surroundings.endpoint ?? ENDPOINT,
		wanted.token ?? surroundings.token,
		{ ...options.http, ...(signal && { signal }) },
	);
	const offline =
		(wanted.localFilesOnly ?? surroundings.offline)
			? new SourceError(
					`${repo}: the Hub is not asked, because of localFilesOnly or HF_HUB_OFFLINE`,
				)
			: undefined;
	const found = await findCommit(hub, cache, revision, offline);
	const snapshot = await findFiles(hub, cache, found);
	const { files } = snapshot;
	const file =
		name.quant === undefined
			? name.file
			: chooseQuant(repo, [...files.keys()], name.quant);
	const shown = `${repo}${revision === "main" ? "" : `@${revision}`}`;
	return {
		from: {
			name: snapshot.offline ? `${shown} (only what is cached)` : shown,
			list: async () => [...files.keys()],
			async open(path) {
				const file = files.get(path);
				return file && openFile(hub, cache, snapshot, file, options);
			},
		},
		...(file !== undefined && { file }),
	};
}

function revisionOf(name: HubName, { revision }: HubOptions): string {
	const chosen = name.revision ?? revision ?? "main";
	if (revision !== undefined && revision !== chosen)
		throw new OptionError(
			`hub.revision is "${revision}", but the name says "${name.revision}"`,
		);
	if (!staysInside(chosen))
		throw new OptionError(
			`revision is "${chosen}", expected a branch, a tag or a commit`,
		);
	return chosen;
}

/** Never shows the token. */
function checkAccess({ endpoint, token }: HubOptions): void {
	if (endpoint !== undefined && !/^https?:\/\/[^/]/i.test(endpoint))
		throw new OptionError(
			`hub.endpoint is "${endpoint}", expected an address such as ${ENDPOINT}`,
		);
	if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
		throw new OptionError(
			`hub.token is ${token === "" ? "empty" : "no token: it has spaces or other characters that none has"}`,
		);
}

async function openCache(
	{ cache }: HubOptions,
	surroundings: HubSurroundings,
): Promise<HubCache | undefined> {
	if (cache === false) return undefined;
	if (typeof cache !== "string") return surroundings.openCache?.();
	const opened = await surroundings.openCache?.(cache);
	if (opened) return opened;
	throw new OptionError(
		`hub.cache is "${cache}", but there are no folders here`,
	);
}

/** Asks what the revision is now. A Hub that cannot be reached is no obstacle to what is in the cache. */
async function findCommit(
	hub: Hub,
	cache: HubCache | undefined,
	revision: string,
	offline: SourceError | undefined,
): Promise<Omit<Snapshot, "files">> {
	if (isCommit(revision)) return { commit: revision, offline };
	const known = await cache?.readRef(hub.repo, revision);
	if (offline) {
		if (known !== undefined) return { commit: known, offline };
		throw missing(offline, `${revision} is not in the cache`);
	}
	const http = { ...hub.http, ...(known !== undefined && IMPATIENT) };
	try {
		const commit = await askCommit({ ...hub, http }, revision);
		if (cache) await note(cache.writeRef(hub.repo, revision, commit));
		return { commit, offline };
	} catch (error) {
		if (known === undefined || !isOutage(error)) throw error;
		return { commit: known, offline: error };
	}
}

/** Asks which files there are, unless the cache knows: a commit never changes. */
async function findFiles(
	hub: Hub,
	cache: HubCache | undefined,
	{ commit, offline }: Omit<Snapshot, "files">,
): Promise<Snapshot> {
	const known = await cache?.readFiles(hub.repo, commit);
	const snapshot = (
		files: readonly HubFile[],
		offline: SourceError | undefined,
	) => ({
		commit,
		offline,
		files: new Map(files.map((file) => [file.path, file])),
	});
	if (known && (offline || known.complete))
		return snapshot(known.files, offline);
	if (offline) throw missing(offline, `commit ${commit} is not in the cache`);
	try {
		const files = await askFiles(hub, commit);
		if (cache) await note(cache.writeFiles(hub.repo, commit, files));
		return snapshot(files, undefined);
	} catch (error) {
		if (!known || !isOutage(error)) throw error;
		return snapshot(known.files, error);
	}
}

async function openFile(
	hub: Hub,
	cache: HubCache | undefined,
	{ commit, offline }: Snapshot,
	file: HubFile,
	options: OpenHubOptions,
): Promise<ByteSource> {
	const { path, sizeBytes } = file;
	const entry = { repo: hub.repo, commit, file };
	const found = cache && (await findCached(cache, entry, options));
	if (found) return found;
	if (offline)
		throw missing(offline, `${path} is not in the cache, or damaged there`);
	const url = fileUrl(hub, commit, path);
	const far = async () => {
		const source = await urlSource(url, hub.http);
		if (source.size === sizeBytes) return source;
		throw new SourceError(
			`${source.name}: has ${source.size} bytes, expected ${sizeBytes}`,
			{ url: source.name },
		);
	};
	if (!cache) return far();
	const near = () =>
		fetchCached(
			cache,
			entry,
			(fromBytes, write) =>
				download(url, { fromBytes, sizeBytes }, hub.http, write),
			options,
		);
	return sizeBytes <= GLANCE_BYTES
		? near()
		: lateSource({ name: addressOf(url).shown, size: sizeBytes }, far, near);
}

/** Whether it may be the network or the Hub's health, rather than the question, that is at fault. */
const isOutage = (error: unknown): error is SourceError =>
	error instanceof SourceError &&
	(error.status === undefined || error.status === 429 || error.status >= 500);

const missing = (offline: SourceError, what: string) => {
	const { status, url } = offline;
	return new SourceError(`${offline.message}, and ${what}`, {
		cause: offline,
		...(status !== undefined && { status }),
		...(url !== undefined && { url }),
	});
};
