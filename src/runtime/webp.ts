import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

/** The WebP decoder, which its package keeps as a file. */
export async function webpModule(): Promise<WebAssembly.Module> {
	const { resolve } = createRequire(import.meta.url);
	const path = resolve("@jsquash/webp/codec/dec/webp_dec.wasm");
	return new WebAssembly.Module(await readFile(path));
}
