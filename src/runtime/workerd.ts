/** The package in workerd. */
import type { Model as LoadedModel } from "../model.ts";
import { embeddedModel } from "./embedded.ts";
import { bindWorkerd } from "./workerd-bound.ts";

export * from "../index.ts";

const bound = bindWorkerd(embeddedModel);
export const Model = bound.Model;
export type Model = LoadedModel;
export const loadTokenizer = bound.loadTokenizer;
