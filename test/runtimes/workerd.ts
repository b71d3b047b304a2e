import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { installed } from "./stage.ts";

/** What of Miniflare is used here. */
export interface Workerd {
	dispatchFetch(url: string, init?: RequestInit): Promise<Response>;
	getInspectorURL(): Promise<URL>;
	getR2Bucket(binding: string): Promise<{
		put(key: string, bytes: Uint8Array): Promise<unknown>;
	}>;
	dispose(): Promise<void>;
}

/** Finds Miniflare, and what it comes with. */
export const requireMiniflare = (): NodeJS.Require =>
	createRequire(join(installed("miniflare"), "package.json"));

/**
 * Runs a folder's only script in workerd, with the WebAssembly modules that lie beside it.
 * @param options of Miniflare's besides
 */
export async function openWorkerd(
	folder: string,
	options: Readonly<Record<string, unknown>> = {},
): Promise<Workerd> {
	const { Miniflare } = requireMiniflare()("miniflare");
	const modules = readdirSync(folder).sort((a) => (a.endsWith(".js") ? -1 : 1));
	return new Miniflare({
		compatibilityDate: "2025-01-01",
		modulesRoot: folder,
		modules: modules.map((name) => ({
			type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
			path: join(folder, name),
		})),
		...options,
	});
}
