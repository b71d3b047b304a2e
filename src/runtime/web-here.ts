/** The library on the thread that calls: what needs no engine, and the engine where it cannot have a worker. */
import { bindRuntime } from "../bind.ts";
import { webAssets } from "./web-assets.ts";
import { webRuntime } from "./web-runtime.ts";

export { serveModel } from "./web-engine.ts";

export const {
	Model: { readTensor },
	loadTokenizer,
} = bindRuntime(webRuntime(webAssets));
