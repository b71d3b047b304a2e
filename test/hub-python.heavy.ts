import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hubCache } from "../src/runtime/hub-cache.ts";
import { openHub } from "../src/sources/hub.ts";
import { type HubServer, sha256Of } from "./hub-server.ts";
import { nanoFiles, serveNano } from "./nano-hub.ts";

const python = process.env.PYTHON ?? "python3";
const probe = spawnSync(
	python,
	["-c", "import huggingface_hub; print(huggingface_hub.__version__)"],
	{ encoding: "utf8" },
);
const version = probe.stdout?.trim();

const PROGRAM = `
import hashlib, json, sys
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
offline = "offline" in sys.argv
how = sys.argv[1]
if how == "files":
    paths = [hf_hub_download("nano/smol", name, local_files_only=offline) for name in sys.argv[2].split(",")]
elif how == "all":
    folder = snapshot_download("nano/smol", local_files_only=offline)
    paths = [folder + "/" + name for name in sys.argv[2].split(",")]
scan = scan_cache_dir()
print(json.dumps({
    "hashes": [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in paths],
    "warnings": [str(warning) for warning in scan.warnings],
    "repos": [repo.repo_id for repo in scan.repos],
}))
`;

const names = [...nanoFiles.keys()];
const hashes = names.map((name) => sha256Of(nanoFiles.get(name)!));

describe.skipIf(!version)(
	`one cache for us and Python's huggingface_hub ${version || `(${python} has none; set PYTHON)`}`,
	() => {
		let server: HubServer;
		let folder: string;
		beforeEach(async () => {
			server = await serveNano();
			folder = mkdtempSync(join(tmpdir(), "nibble-python-"));
		});
		afterEach(async () => {
			rmSync(folder, { recursive: true });
			await server.close();
		});

		const inPython = async (...args: string[]) => {
			const env = {
				...process.env,
				HF_ENDPOINT: server.url,
				HF_HOME: folder,
				HF_HUB_CACHE: join(folder, "hub"),
				HF_HUB_DISABLE_TELEMETRY: "1",
				HF_HUB_DISABLE_PROGRESS_BARS: "1",
			};
			const run = promisify(execFile);
			const { stdout } = await run(python, ["-c", PROGRAM, ...args], { env });
			return JSON.parse(stdout);
		};
		const here = async (localFilesOnly = false) => {
			const { from } = await openHub(
				{ repo: server.repo },
				{
					hub: { endpoint: server.url, localFilesOnly },
					surroundings: {
						openCache: async () => hubCache(join(folder, "hub")),
					},
				},
			);
			const found: string[] = [];
			for (const name of names) {
				const source = (await from.open(name))!;
				found.push(sha256Of(await source.read(0, source.size)));
				await source.close?.();
			}
			return found;
		};
		const contents = () =>
			server.log.filter((line) => /GET \/nano\/|^cdn GET/.test(line));

		test.each(["files", "all"])("Python fetches (%s), we find", async (how) => {
			const fetched = await inPython(how, names.join());
			expect(fetched.hashes).toEqual(hashes);
			server.log.length = 0;
			expect(await here(true)).toEqual(hashes);
			expect(server.log).toEqual([]);
			expect(await here()).toEqual(hashes);
			expect(contents()).toEqual([]);
		});

		test.each(["files", "all"])("we fetch, Python finds (%s)", async (how) => {
			expect(await here()).toEqual(hashes);
			server.log.length = 0;
			const found = {
				hashes,
				warnings: [],
				repos: ["nano/smol"],
			};
			expect(await inPython(how, names.join(), "offline")).toEqual(found);
			expect(server.log).toEqual([]);
			expect(await inPython(how, names.join())).toEqual(found);
			expect(contents()).toEqual([]);
		});

		test("both fetch at the same time", async () => {
			const [fetched, ours] = await Promise.all([
				inPython("files", names.join()),
				here(),
			]);
			expect(ours).toEqual(hashes);
			expect(fetched.hashes).toEqual(hashes);
			expect(await here(true)).toEqual(hashes);
		});
	},
);
