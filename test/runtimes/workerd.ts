import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { installed } from "./stage.ts";

/** What of Miniflare is used here. */
export interface Workerd {
	dispatchFetch(url: string, init: RequestInit): Promise<Response>;
	dispose(): Promise<void>;
}

/** Runs a folder's only script in workerd, with the WebAssembly modules that lie beside it. */
export async function openWorkerd(folder: string): Promise<Workerd> {
	const require = createRequire(join(installed("miniflare"), "package.json"));
	const { Miniflare } = require("miniflare");
	const modules = readdirSync(folder).sort((a) => (a.endsWith(".js") ? -1 : 1));
	return new Miniflare({
		compatibilityDate: "2025-01-01",
		modulesRoot: folder,
		modules: modules.map((name) => ({
			type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
			path: join(folder, name),
		})),
	});
}
