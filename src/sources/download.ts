import { SourceError } from "../errors.ts";
import type { UrlOptions } from "./http.ts";
import { type Address, addressOf, get, refused } from "./http.ts";
import { contentRange, GOOD_BYTES } from "./url.ts";

/** What is left of a file. */
export interface Rest {
	readonly fromBytes: number;
	/** Size of the whole file. */
	readonly sizeBytes: number;
}

/**
 * Fetches the rest of a file in order, and hands each piece to `write` before it takes the next. A dropped connection is
 * taken up where it ended. Without range requests the server sends all, and what is already there is passed over.
 * @throws (rejects with) SourceError, what `write` throws, or the signal's reason. What was written until then is good.
 */
export async function download(
	url: string,
	{ fromBytes, sizeBytes }: Rest,
	options: UrlOptions,
	write: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
	const address = addressOf(url);
	let done = fromBytes;
	while (done < sizeBytes) {
		const start = done;
		await get(
			address,
			// The whole file may come compressed, a part of it may not.
			() => (done === 0 ? undefined : [done, sizeBytes]),
			options,
			async (response, pieces) => {
				let skip = sentBefore(address, response, done, sizeBytes);
				try {
					for await (const piece of pieces) {
						const wanted = piece.subarray(Math.min(skip, piece.length));
						skip -= piece.length - wanted.length;
						if (done + wanted.length > sizeBytes)
							throw failure(
								address,
								response,
								`sent more than ${sizeBytes} bytes`,
							);
						await write(wanted);
						done += wanted.length;
					}
				} catch (error) {
					if (error instanceof SourceError || done - start < GOOD_BYTES)
						throw error;
				}
				if (done < sizeBytes && done - start < GOOD_BYTES)
					throw new Error("the answer ended early");
			},
		);
	}
}

/** How many bytes an answer has before those that were asked for. */
function sentBefore(
	address: Address,
	response: Response,
	done: number,
	sizeBytes: number,
): number {
	if (response.status === 200) return done;
	const range = contentRange(response);
	if (response.status === 416 || (range && range.size !== sizeBytes))
		throw failure(
			address,
			response,
			`the file has ${range?.size ?? "fewer"} bytes, expected ${sizeBytes}`,
		);
	if (response.status !== 206) throw refused(address, response);
	// Where it is hidden from a page, the hash of the file is what tells.
	if (range && range.start !== done)
		throw failure(
			address,
			response,
			`the server sent bytes from ${range.start}, ${done} was asked for`,
		);
	return 0;
}

const failure = (address: Address, response: Response, message: string) =>
	new SourceError(`${address.shown}: ${message}`, {
		status: response.status,
		url: address.shown,
	});
