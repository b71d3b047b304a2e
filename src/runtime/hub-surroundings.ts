import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { HubSurroundings } from "../sources/hub.ts";
import { hubCache } from "./hub-cache.ts";

/** What the environment says about the Hub, in the variables that Python's huggingface_hub reads. */
export async function hubSurroundings(
	env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<HubSurroundings> {
	const home =
		env.HF_HOME || join(env.XDG_CACHE_HOME || "~/.cache", "huggingface");
	const folder = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
	const token = isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)
		? undefined
		: env.HF_TOKEN ||
			env.HUGGING_FACE_HUB_TOKEN ||
			(await savedToken(env.HF_TOKEN_PATH || join(home, "token")));
	return {
		token: token?.trim() || undefined,
		endpoint: env.HF_ENDPOINT || undefined,
		offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
		openCache: async (chosen) =>
			hubCache(expand(chosen || folder || join(home, "hub"))),
	};
}

/** What `hf auth login` keeps. */
const savedToken = (path: string): Promise<string | undefined> =>
	readFile(expand(path), "utf8").catch(() => undefined);

const expand = (path: string): string =>
	path.replace(/^~(?=[\\/]|$)/, homedir());

const isTrue = (value: string | undefined): boolean =>
	/^(1|on|yes|true)$/i.test(value ?? "");
