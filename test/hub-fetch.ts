/** A process of its own that opens a file of a Hub through a cache: `node hub-fetch.mjs ENDPOINT REPO FOLDER FILE`. */
import { createHash } from "node:crypto";
import process from "node:process";
import { hubCache } from "../src/runtime/hub-cache.ts";
import { openHub } from "../src/sources/hub.ts";

const [endpoint, repo = "", folder = "", file = ""] = process.argv.slice(2);
const statuses = new Set<string>();
const { from } = await openHub(
	{ repo },
	{
		hub: { endpoint },
		surroundings: { openCache: async () => hubCache(folder) },
		onProgress: ({ status }) => statuses.add(status),
	},
);
const source = await from.open(file);
if (!source) throw new Error(`there is no ${file}`);
const bytes = await source.read(0, source.size);
await source.close?.();
console.log(
	JSON.stringify({
		sha256: createHash("sha256").update(bytes).digest("hex"),
		statuses: [...statuses],
	}),
);
