import { bytesRepository } from "../sources/bytes.ts";
import type { Repository } from "../sources/source.ts";
import { fromBase64 } from "./base64.ts";

/** The embedded model. Its 7 MB of text are only read when somebody asks. */
export async function embeddedModel(): Promise<Repository> {
	const { files } = await import("../embedded/model.js");
	return bytesRepository(
		Object.fromEntries(
			Object.entries(files).map(([name, base64]) => [name, fromBase64(base64)]),
		),
		"the embedded model",
	);
}
