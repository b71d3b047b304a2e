/** Random-access bytes: a file, a Blob, a URL that answers range requests, or memory. */
export interface ByteSource {
	/** What a person would call it, for error messages: a path, a URL, a file name. */
	readonly name: string;
	/** Total length in bytes. */
	readonly size: number;
	/**
	 * Reads exactly [offset, offset + length) bytes; rejects with SourceError rather than return less.
	 * With `into` (length bytes or more, shared memory allowed) the bytes are written there and its first `length` bytes are returned.
	 */
	read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
	/** Gives back what reading holds open (a file handle). Idempotent. */
	close?(): Promise<void>;
}

/** Files under one roof: a directory, a Hub repository, dropped files, or the embedded model. */
export interface Repository {
	/** What a person would call it, for error messages. */
	readonly name: string;
	/**
	 * Names of the files, relative, with "/" between folders; undefined where they cannot be listed (a plain web server).
	 * @param folder only what is below this folder is asked for, "a/b"; whoever has all names at hand may return all of them
	 */
	list(folder?: string): Promise<readonly string[] | undefined>;
	/** Opens a file by its relative name; undefined where there is none of that name. */
	open(file: string): Promise<ByteSource | undefined>;
}
