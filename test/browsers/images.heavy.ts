import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixture, fixtureJson } from "../fixture.ts";
import { openSite } from "../runtimes/site.ts";
import { browsers } from "./browsers.ts";
import type { ImageReport } from "./images-page.ts";

interface Expected {
	readonly file: string;
	readonly width: number;
	readonly height: number;
	/** Where its pixels begin in pixels.bin. */
	readonly at: number;
}

const cases: readonly Expected[] = fixtureJson("vision/cases.json").decode;
const pixels = fixture("vision/pixels.bin");
/** Files that end before their frame, between frame and scan, and in the first chunk. */
const CUT = { "cut-20.jpg": 20, "cut-250.jpg": 250, "cut-20.webp": 20 };

let stage = "";
beforeAll(() => {
	stage = mkdtempSync(join(tmpdir(), "nibble-images-"));
	cpSync("test/fixtures/vision", stage, { recursive: true });
	for (const [file, length] of Object.entries(CUT)) {
		const whole = fixture(`vision/${file.replace(/cut-\d+/, "turned-6")}`);
		writeFileSync(join(stage, file), whole.subarray(0, length));
	}
	const files = [...cases.map(({ file }) => file), ...Object.keys(CUT)];
	writeFileSync(join(stage, "files.json"), JSON.stringify(files));
	buildSync({
		entryPoints: ["test/browsers/images-page.ts"],
		bundle: true,
		format: "esm",
		target: "es2022",
		outfile: join(stage, "page.js"),
		external: ["jpeg-js", "@jsquash/webp"],
		logLevel: "error",
	});
	writeFileSync(
		join(stage, "page.html"),
		'<!doctype html><script type="module" src="page.js"></script>',
	);
});
afterAll(() => rmSync(stage, { recursive: true }));

describe.each(browsers)("images in $name", (browser) => {
	const { missing } = browser;
	if (missing) console.warn(`skipped: images in ${browser.name}: ${missing}`);
	let report: ImageReport;
	beforeAll(async () => {
		if (missing) return;
		const site = await openSite(stage);
		report = JSON.parse(await browser.reportOf(site, "page.html", 60_000));
		site.close();
	}, 90_000);

	for (const where of ["page", "worker"] as const)
		describe.skipIf(missing)(`decoded in a ${where}`, () => {
			const decoded = (name: string) =>
				report.decoded[where].find(({ file }) => file === name)!;

			test.each(cases)("$file is what Pillow makes of it", (expected) => {
				const { file, width, height, at } = expected;
				const image = decoded(file);
				expect(image.error).toBe(null);
				expect([image.width, image.height]).toEqual([width, height]);
				const wanted = pixels.subarray(at, at + 3 * width * height);
				const differences = image.data.map((x, i) => Math.abs(x - wanted[i]!));
				if (file === "alpha.webp" && !report.webgl) {
					const sum = differences.reduce((a, b) => a + b, 0);
					expect(sum / differences.length).toBeLessThan(5);
				} else expect(Math.max(...differences)).toBe(0);
			});

			test.each(Object.keys(CUT))("%s is an ImageError", (file) => {
				expect(decoded(file).error).toMatch(/^ImageError: cut-/);
			});
		});
});
