import { bytesRepository } from "../sources/bytes.ts";
import type { Repository } from "../sources/source.ts";
import { fromBase64 } from "./base64.ts";

/** The files of the embedded model as the build wrote them, by name in base64, as a repository. */
export function embeddedRepository(
	files: Readonly<Record<string, string>>,
): Repository {
	return bytesRepository(
		Object.fromEntries(
			Object.entries(files).map(([name, base64]) => [name, fromBase64(base64)]),
		),
		"the embedded model",
	);
}
