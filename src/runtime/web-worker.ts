/** What the engine's own worker runs. The build bundles this file into a text, so that no bundler has to find it. */
import { serveModel } from "./web-engine.ts";

serveModel(globalThis as unknown as Worker);
