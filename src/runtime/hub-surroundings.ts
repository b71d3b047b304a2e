import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { HubSurroundings } from "../sources/hub.ts";
import { hubCache } from "./hub-cache.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says about the Hub, in the variables that Python's huggingface_hub reads. */
export async function hubSurroundings(
	env: Environment = process.env,
): Promise<HubSurroundings> {
	const home =
		env.HF_HOME || join(env.XDG_CACHE_HOME || "~/.cache", "huggingface");
	const folder = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
	const expand = (path: string) => expandPath(path, env);
	const token = isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)
		? undefined
		: env.HF_TOKEN ||
			env.HUGGING_FACE_HUB_TOKEN ||
			(await savedToken(expand(env.HF_TOKEN_PATH || join(home, "token"))));
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
	readFile(path, "utf8").catch(() => undefined);

/** Puts the home folder in place of ~, and values in place of $NAME and ${NAME} as far as they are set. */
const expandPath = (path: string, env: Environment): string =>
	path
		.replace(/^~(?=[\\/]|$)/, () => homedir())
		.replace(
			/\$(?:(\w+)|\{(\w+)\})/g,
			(found, name, braced) => env[name ?? braced] ?? found,
		);

const isTrue = (value: string | undefined): boolean =>
	/^(1|on|yes|true)$/i.test(value ?? "");
