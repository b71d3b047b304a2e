import { SourceError } from "../errors.ts";

/** Rejects a read that leaves the source or does not fit into `into`, before anything is allocated for it. */
export function checkRange(
	source: { readonly name: string; readonly size: number },
	offset: number,
	length: number,
	into?: Uint8Array,
): void {
	if (
		!Number.isSafeInteger(offset) ||
		!Number.isSafeInteger(length) ||
		offset < 0 ||
		length < 0 ||
		offset + length > source.size
	)
		throw new SourceError(
			`${source.name}: ${length} bytes at ${offset} were asked for, the file has ${source.size}`,
		);
	if (into && into.length < length)
		throw new SourceError(
			`${source.name}: ${length} bytes do not fit into ${into.length}`,
		);
}
