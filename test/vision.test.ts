import { describe, expect, it } from "vitest";
import { ImageError, UnsupportedError } from "../src/errors.ts";
import { webpModule } from "../src/runtime/webp.ts";
import { cropsOf } from "../src/vision/crops.ts";
import { decodeImage } from "../src/vision/decode.ts";
import { MAX_PIXELS, type Rgb } from "../src/vision/image.ts";
import { patchesOf } from "../src/vision/patches.ts";
import { resize } from "../src/vision/resize.ts";
import { toRgb } from "../src/vision/rgb.ts";
import { fixture, fixtureJson } from "./fixture.ts";

interface Expected {
	readonly file: string;
	readonly width: number;
	readonly height: number;
	readonly at: number;
}

const cases: { decode: Expected[]; resize: Expected[] } =
	fixtureJson("vision/cases.json");
const pixels = fixture("vision/pixels.bin");
const pixelsOf = ({ width, height, at }: Expected) =>
	pixels.subarray(at, at + 3 * width * height);
const load = (file: string) =>
	decodeImage(fixture(`vision/${file}`), file, webpModule);
const furthest = (a: Uint8Array, b: Uint8Array) =>
	a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0);
const meanDifference = (a: Uint8Array, b: Uint8Array) =>
	a.reduce((sum, x, i) => sum + Math.abs(x - b[i]!), 0) / a.length;

describe("decoding against Pillow", () => {
	const lossless = cases.decode.filter((c) => !/jpg|lossy/.test(c.file));
	it.each(lossless)("$file", async (c) => {
		const image = await load(c.file);
		expect([image.width, image.height]).toEqual([c.width, c.height]);
		expect(furthest(image.data, pixelsOf(c))).toBe(0);
	});

	// Decoders may round differently, and spread the colours of 4:2:0 differently.
	const lossy = cases.decode.filter((c) => /jpg|lossy/.test(c.file));
	it.each(lossy)("$file, about", async (c) => {
		const image = await load(c.file);
		expect([image.width, image.height]).toEqual([c.width, c.height]);
		const mean = meanDifference(image.data, pixelsOf(c));
		expect(mean).toBeLessThan(c.file.includes("420") ? 4 : 1);
	});
});

describe("resizing against Pillow", () => {
	it.each(cases.resize)("to $width × $height", async (c) => {
		const image = resize(await load("resize.png"), c.width, c.height);
		expect(furthest(image.data, pixelsOf(c))).toBe(0);
	});
});

describe("patches", () => {
	it("are reds, greens and blues of one square after the other", () => {
		const data = Uint8Array.from({ length: 3 * 16 }, (_, i) => i);
		const patches = patchesOf(
			{ width: 4, height: 4, data },
			{ pixels: 4, patch: 2, rescale: 1, mean: [0, 0, 0], std: [1, 1, 1] },
		);
		expect([...patches.subarray(0, 12)]).toEqual([
			0, 3, 12, 15, 1, 4, 13, 16, 2, 5, 14, 17,
		]);
		expect([...patches.subarray(12, 16)]).toEqual([6, 9, 18, 21]);
		expect(patches[24]).toBe(24);
	});

	it("leave out what does not fill one, and are normalized", () => {
		const data = new Uint8Array(3 * 25).fill(255);
		const half = [0.5, 0.5, 0.5];
		const patches = patchesOf(
			{ width: 5, height: 5, data },
			{ pixels: 5, patch: 2, rescale: 1 / 255, mean: half, std: half },
		);
		expect(patches).toEqual(new Float32Array(48).fill(1));
	});
});

describe("pan and scan", () => {
	const sizes = (width: number, height: number, options = {}) =>
		cropsOf(blank(width, height), options).map((c) => [c.width, c.height]);

	it("cuts long images into even parts", () => {
		expect(sizes(1000, 1000)).toEqual([]);
		expect(sizes(1199, 1000)).toEqual([]);
		expect(sizes(1200, 1000)).toEqual([
			[600, 1000],
			[600, 1000],
		]);
		expect(sizes(1000, 3001)).toEqual([
			[1000, 1001],
			[1000, 1001],
			[1000, 999],
		]);
		expect(sizes(9000, 1000)).toHaveLength(4);
		expect(sizes(400, 200)).toEqual([]);
		expect(sizes(400, 200, { minCropSize: 100 })).toHaveLength(2);
		expect(sizes(1200, 1000, { minRatio: 1.3 })).toEqual([]);
		expect(sizes(9000, 1000, { maxCrops: 2 })).toHaveLength(2);
	});

	it("keeps the pixels where they were", () => {
		const data = Uint8Array.from({ length: 3 * 8 }, (_, i) => i);
		const image = { width: 4, height: 2, data };
		const [left, right] = cropsOf(image, { minCropSize: 2 });
		expect([...left!.data]).toEqual([0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17]);
		expect([...right!.data.subarray(0, 3)]).toEqual([6, 7, 8]);
	});
});

describe("bad images", () => {
	const broken = (bytes: Uint8Array) => decodeImage(bytes, "it", webpModule);
	const bomb = (width: number, height: number) => {
		const bytes = fixture("vision/rgb.png").slice();
		const view = new DataView(bytes.buffer);
		view.setUint32(16, width);
		view.setUint32(20, height);
		return bytes;
	};

	it("are refused by their number of pixels before they are decoded", async () => {
		await expect(broken(bomb(60_000, 60_000))).rejects.toThrow(
			`60000 × 60000 pixels, expected at most ${MAX_PIXELS}`,
		);
		await expect(broken(bomb(0, 5))).rejects.toThrow(ImageError);
		// More pixels in the data than the header says, and fewer.
		await expect(broken(bomb(2, 2))).rejects.toThrow("holds more than 14");
		await expect(broken(bomb(23, 18))).rejects.toThrow("PNG ends after");
	});

	it("are errors, whatever byte is wrong or missing", async () => {
		const names = ["rgb.png", "p4.png", "420.jpg", "turned-6.jpg"];
		for (const name of [...names, "lossy.webp", "turned-6.webp"]) {
			const bytes = fixture(`vision/${name}`);
			const tries: Uint8Array[] = [];
			for (let i = 0; i < bytes.length; i += Math.ceil(bytes.length / 60)) {
				tries.push(bytes.subarray(0, i));
				const flipped = bytes.slice();
				flipped[i] = flipped[i]! ^ 0xff;
				tries.push(flipped);
			}
			for (const attempt of tries)
				await broken(attempt).catch((error) => {
					expect(error, `${name}: ${error.stack}`).toBeInstanceOf(ImageError);
				});
		}
	});

	it("are unsupported where there is no decoder", async () => {
		const webp = fixture("vision/lossy.webp");
		await expect(decodeImage(webp, "it")).rejects.toThrow(UnsupportedError);
	});

	it("are pixels that do not fit their size", () => {
		const data = new Uint8Array(11);
		expect(() => toRgb({ width: 2, height: 2, data }, "it")).toThrow(
			"11 bytes for 2 × 2 pixels of 4 channels, expected 16",
		);
	});
});

function blank(width: number, height: number): Rgb {
	return { width, height, data: new Uint8Array(3 * width * height) };
}
