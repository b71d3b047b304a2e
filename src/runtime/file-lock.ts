import { open, readFile, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MILLISECONDS = 100;
const HEARTBEAT_MILLISECONDS = 2_000;
/** A lock whose holder has not touched it for so long belongs to nobody; long enough for a machine under load. */
const STALE_MILLISECONDS = 20_000;

/**
 * Waits until no other process or call holds the lock, and takes it; the returned function gives it back.
 * Locks are polite, not safe: what they protect must be right even if two hold one, which a process that slept can bring
 * about. (Node has no flock.)
 */
export async function lockFile(
	path: string,
	signal?: AbortSignal,
	staleMilliseconds = STALE_MILLISECONDS,
): Promise<() => Promise<void>> {
	const mine = JSON.stringify({
		host: hostname(),
		pid: process.pid,
		key: crypto.randomUUID(),
	});
	let seen: { mtimeMs: number; since: number } | undefined;
	while (!(await create(path, mine))) {
		signal?.throwIfAborted();
		const found = await stat(path).catch(() => undefined);
		if (found && seen?.mtimeMs !== found.mtimeMs)
			seen = { mtimeMs: found.mtimeMs, since: performance.now() };
		const stale = seen && performance.now() - seen.since > staleMilliseconds;
		if (found && (stale || (await holderIsDead(path)))) {
			await rm(path, { force: true });
			seen = undefined;
		} else await sleep(POLL_MILLISECONDS);
	}
	const heartbeat = setInterval(() => {
		const now = new Date();
		utimes(path, now, now).catch(() => {});
	}, HEARTBEAT_MILLISECONDS);
	heartbeat.unref();
	return async () => {
		clearInterval(heartbeat);
		// Unless somebody took it for stale.
		if ((await read(path)) === mine) await rm(path, { force: true });
	};
}

async function create(path: string, text: string): Promise<boolean> {
	try {
		const handle = await open(path, "wx");
		await handle.writeFile(text);
		await handle.close();
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
		throw error;
	}
}

/** Known at once of a process of this machine that has ended. */
async function holderIsDead(path: string): Promise<boolean> {
	try {
		const { host, pid } = JSON.parse((await read(path)) ?? "");
		if (host !== hostname() || !Number.isInteger(pid)) return false;
		process.kill(pid, 0);
		return false;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "ESRCH";
	}
}

const read = (path: string): Promise<string | undefined> =>
	readFile(path, "utf8").catch(() => undefined);
