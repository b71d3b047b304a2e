import { readdirSync, readFileSync } from "node:fs";
import { type HubServer, serveHub } from "./hub-server.ts";

const folder = new URL("../models/nano-smollm3/", import.meta.url);

/** The embedded model's files, by name. */
export const nanoFiles: ReadonlyMap<string, Uint8Array> = new Map(
	readdirSync(folder).map((name) => [
		name,
		new Uint8Array(readFileSync(new URL(name, folder))),
	]),
);

/** A Hub that has the embedded model; its weights are on the CDN. */
export async function serveNano(): Promise<HubServer> {
	const server = await serveHub("nano/smol");
	for (const [name, bytes] of nanoFiles)
		server.files.set(name, { bytes, lfs: name.endsWith(".safetensors") });
	return server;
}
