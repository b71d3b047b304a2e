import { spawn, spawnSync } from "node:child_process";
import {
	copyFileSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	type Chromium,
	missingChromium,
	openChromium,
} from "../browsers/chromium.ts";
import { ISOLATION, openSite } from "../runtimes/site.ts";
import { installed, prepareStage } from "../runtimes/stage.ts";
import { builds } from "./builds.ts";

/** What a program that uses the library says, wherever it runs. */
interface Said {
	readonly text: string;
	readonly threads: number;
	readonly limit?: string;
}

const MAIN = `import { Model } from "nibble-lm";

async function main() {
	const model = await Model.load();
	const { text } = await model.generate("Once upon a time", { maxNewTokens: 8, doSample: false });
	const { threads, threadLimit: limit } = model.info;
	await model.dispose();
	return JSON.stringify({ text, threads, limit });
}

const say = typeof document === "object" ? (said) => { document.title = said; } : console.log;
main().then(say, (error) => say(String(error?.stack)));
`;

const page = (type: string, script: string) =>
	`<!doctype html><title></title><body><script ${type} src="${script}"></script>`;

/** Kilobytes of all scripts in a folder without the embedded model, which no bundler makes smaller. */
function kilobytes(folder: string): string {
	const model = join(stage, "node_modules/nibble-lm/dist/embedded/model.js");
	const bytes = readdirSync(folder, { recursive: true, encoding: "utf8" })
		.filter((name) => /\.m?js$/.test(name))
		.map((name) => statSync(join(folder, name)).size);
	if (bytes.length === 0) return "";
	const sum = bytes.reduce((a, b) => a + b) - statSync(model).size;
	return `${Math.round(sum / 1000)} kB`;
}

/** Scripts in a folder, where there are several: one script holds everything, whatever is imported when. */
function chunks(folder: string): { name: string; text: string }[] {
	const found = readdirSync(folder, { recursive: true, encoding: "utf8" })
		.filter((name) => /\.m?js$/.test(name))
		.map((name) => ({ name, text: readFileSync(join(folder, name), "utf8") }));
	return found.length > 1 ? found : [];
}

/** Expects that the kernels of rare layouts are chunks of their own: only models that need them fetch them. */
function expectRareApart(folder: string): void {
	const embedded = (name: string) =>
		readFileSync(
			join(stage, "node_modules/nibble-lm/dist/embedded", `${name}.js`),
			"utf8",
		);
	const rare = ["simd-rare", "relaxed-rare"].map(embedded);
	const longest = Math.max(...rare.map((text) => text.length));
	for (const text of rare) {
		// The end of a module is its constants, which both targets may share.
		const end = /.{64}(?=")/.exec(text)![0];
		for (const common of ["simd", "relaxed"])
			expect(embedded(common)).not.toContain(end);
		for (const { name, text } of chunks(folder))
			if (text.includes(end))
				expect(text.length, name).toBeLessThan(1.1 * longest);
	}
}

let stage = "";
let chromium: Chromium | undefined;
let expected = "";
const rows: string[][] = [];

beforeAll(async () => {
	stage = prepareStage("bundlers");
	writeFileSync(join(stage, "main.js"), MAIN);
	const { stdout } = spawnSync(process.execPath, ["main.js"], {
		cwd: stage,
		encoding: "utf8",
	});
	expected = JSON.parse(stdout).text;
	if (missingChromium) console.warn(`skipped: pages: ${missingChromium}`);
	else chromium = await openChromium();
}, 120_000);

afterAll(async () => {
	await chromium?.close();
	const head = ["bundle", "threads", "scripts without the embedded model"];
	console.log(
		[head, head.map(() => "---"), ...rows]
			.map((row) => `| ${row.join(" | ")} |`)
			.join("\n"),
	);
});

function run(command: string, args: readonly string[], cwd: string): string {
	const { stdout, stderr, status, error } = spawnSync(command, args, {
		cwd,
		encoding: "utf8",
		timeout: 120_000,
		env: { ...process.env, NO_COLOR: "1", CI: "1" },
	});
	if (error) throw error;
	if (status !== 0)
		throw new Error(`${command} ${args.join(" ")}: ${stdout}${stderr}`);
	return stdout;
}

async function showPage(url: string): Promise<Said> {
	const page = await chromium!.newPage();
	try {
		await page.goto(url);
		const title = await page.until<string>("document.title", 30_000);
		expect(title).toMatch(/^\{/);
		expect(page.errors.filter((e) => !e.includes("favicon"))).toEqual([]);
		return JSON.parse(title);
	} finally {
		await page.close();
	}
}

async function showFolder(folder: string): Promise<Said> {
	const site = await openSite(folder, ISOLATION);
	try {
		return await showPage(`${site.url}index.html`);
	} finally {
		site.close();
	}
}

describe.each(builds)(
	"$name",
	({ name, packages, script, output, command }) => {
		const isPage = output.endsWith("index.html");
		test.skipIf(isPage && missingChromium)(
			"builds and runs",
			async () => {
				const folder = join(stage, name.replaceAll(/\W+/g, "-"));
				mkdirSync(folder);
				copyFileSync(join(stage, "main.js"), join(folder, "main.js"));
				const out = join(folder, "out");
				const home = packages ? installed(...packages) : resolve(".");
				if (script !== undefined) {
					mkdirSync(out);
					const type = script.endsWith(".iife.js") ? "" : 'type="module"';
					writeFileSync(join(out, "index.html"), page(type, script));
				} else if (isPage)
					writeFileSync(
						join(folder, "index.html"),
						page('type="module"', "./main.js"),
					);
				const [program, ...args] = command(folder, home);
				run(join(home, "node_modules", ".bin", program!), args, folder);

				const at = join(folder, output);
				const said: Said = isPage
					? await showFolder(join(at, ".."))
					: JSON.parse(
							/\.m?js$/.test(at)
								? run(process.execPath, [at], "/")
								: run(at, [], "/"),
						);
				expectRareApart(out);
				rows.push([name, `${said.threads}`, kilobytes(out)]);
				expect(said.text).toBe(expected);
				expect(said.threads).toBeGreaterThan(1);
			},
			300_000,
		);
	},
);

test.skipIf(missingChromium)(
	"Vite serves it while it is developed",
	async () => {
		const folder = join(stage, "vite-development");
		mkdirSync(folder);
		copyFileSync(join(stage, "main.js"), join(folder, "main.js"));
		writeFileSync(
			join(folder, "index.html"),
			page('type="module"', "./main.js"),
		);
		const vite = spawn(
			join(installed("vite"), "node_modules", ".bin", "vite"),
			["--host", "127.0.0.1", "--port", "0"],
			{
				cwd: folder,
				stdio: ["ignore", "pipe", "inherit"],
				env: { ...process.env, NO_COLOR: "1" },
			},
		);
		try {
			const url = await new Promise<string>((resolve, reject) => {
				let said = "";
				vite.stdout.on("data", (data) => {
					said += data;
					const [found] = /http:\S+/.exec(said) ?? [];
					if (found) resolve(found);
				});
				vite.once("exit", () => reject(new Error(`it ended: ${said}`)));
			});
			const said = await showPage(url);
			expect(said.text).toBe(expected);
			expect(said.limit).toMatch(/not cross-origin isolated/);
			expect(said.limit).not.toMatch(/no thread of its own/);
		} finally {
			vite.kill();
		}
	},
	120_000,
);
