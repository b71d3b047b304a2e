/**
 * The package in workerd without the embedded model. A Worker is bundled into one script, where text that is never
 * imported still counts: against the limit of uploads and, two bytes a character as a rule, against that of memory.
 */
import { SourceError } from "../errors.ts";
import type { Model as LoadedModel } from "../model.ts";
import { bindWorkerd } from "./workerd-bound.ts";

export * from "../index.ts";

const bound = bindWorkerd(async () => {
	throw new SourceError(
		"nibble-lm/bare has no embedded model, expected a source",
	);
});
export const Model = bound.Model;
export type Model = LoadedModel;
export const loadTokenizer = bound.loadTokenizer;
