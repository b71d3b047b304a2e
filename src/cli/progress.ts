import process from "node:process";

/** What Model.load reports while it works. */
interface Progress {
	/** File being read; undefined between files. */
	readonly file?: string | undefined;
	/** Bytes so far, and in all. */
	readonly loaded: number;
	readonly total: number;
}

const WIDTH = 24;
const INTERVAL_MS = 50;

/** A bar on stderr that rewrites its line; undefined where nobody would see it. */
export function progressBar(
	quiet: boolean | undefined,
): { update(progress: Progress): void; clear(): void } | undefined {
	if (quiet || !process.stderr.isTTY) return undefined;
	let drawn = 0;
	return {
		update({ file, loaded, total }) {
			const now = performance.now();
			if (now - drawn < INTERVAL_MS && loaded < total) return;
			drawn = now;
			const share = total > 0 ? Math.min(loaded / total, 1) : 0;
			const full = Math.round(share * WIDTH);
			const bar = "█".repeat(full) + "░".repeat(WIDTH - full);
			process.stderr.write(
				`\r\x1b[2K${bar} ${formatBytes(loaded)} of ${formatBytes(total)} ${file ?? ""}`,
			);
		},
		clear() {
			process.stderr.write("\r\x1b[2K");
		},
	};
}

/** "1.5 GB": three significant digits in powers of 1000. */
export function formatBytes(bytes: number): string {
	const units = ["B", "kB", "MB", "GB", "TB"];
	let value = bytes;
	let unit = 0;
	for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
	return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}
