import { checkRange } from "./range.ts";
import type { ByteSource, Repository } from "./source.ts";

/** Bytes in memory as a source. Reading copies: what `read` returns is the caller's to change. */
export function bytesSource(
	bytes: Uint8Array | ArrayBuffer,
	name = "bytes",
): ByteSource {
	const all = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
	const size = all.length;
	return {
		name,
		size,
		async read(offset, length, into) {
			checkRange({ name, size }, offset, length, into);
			const target = into?.subarray(0, length) ?? new Uint8Array(length);
			target.set(all.subarray(offset, offset + length));
			return target;
		},
	};
}

/** Named byte arrays as a repository, `{ "config.json": bytes, "model.safetensors": bytes }`. */
export function bytesRepository(
	files: Readonly<Record<string, Uint8Array | ArrayBuffer>>,
	name = "bytes",
): Repository {
	return {
		name,
		list: async () => Object.keys(files),
		async open(file) {
			const bytes = Object.hasOwn(files, file) ? files[file] : undefined;
			return bytes && bytesSource(bytes, file);
		},
	};
}
