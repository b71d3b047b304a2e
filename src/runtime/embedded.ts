import type { Repository } from "../sources/source.ts";
import { embeddedRepository } from "./embedded-files.ts";

/** The embedded model. Its 7 MB of text are only read when somebody asks. */
export async function embeddedModel(): Promise<Repository> {
	const { files } = await import("../embedded/model.js");
	return embeddedRepository(files);
}
