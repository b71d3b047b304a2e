import type { Rgb } from "./image.ts";

/** When and how a long image is cut up, so that its details are seen: pan and scan. */
export interface PanAndScan {
	/** Sides of crops in pixels, at least. @default 256 */
	readonly minCropSize?: number | undefined;
	/** @default 4 */
	readonly maxCrops?: number | undefined;
	/** Longer side over shorter one from which on it is done. @default 1.2 */
	readonly minRatio?: number | undefined;
}

/** Crops along the longer side, in order; none for an image that is nearly square or too small. */
export function cropsOf(
	image: Rgb,
	{ minCropSize = 256, maxCrops = 4, minRatio = 1.2 }: PanAndScan,
): Rgb[] {
	const { width, height } = image;
	const isWide = width >= height;
	const [long, short] = isWide ? [width, height] : [height, width];
	if (long / short < minRatio) return [];
	const wanted = Math.floor(long / short + 0.5);
	const possible = Math.min(Math.floor(long / minCropSize), wanted);
	const count = Math.min(maxCrops, Math.max(2, possible));
	const size = Math.ceil(long / count);
	if (Math.min(size, short) < minCropSize) return [];
	// Rounded up, the sizes may add up to more than there is.
	const inside = Math.min(count, Math.ceil(long / size));
	return Array.from({ length: inside }, (_, i) =>
		isWide
			? crop(image, i * size, 0, size, height)
			: crop(image, 0, i * size, width, size),
	);
}

/** A part of an image, as far as there is one. */
function crop(image: Rgb, x: number, y: number, w: number, h: number): Rgb {
	const width = Math.min(w, image.width - x);
	const height = Math.min(h, image.height - y);
	const data = new Uint8Array(3 * width * height);
	for (let row = 0; row < height; row++) {
		const from = 3 * ((y + row) * image.width + x);
		data.set(image.data.subarray(from, from + 3 * width), 3 * row * width);
	}
	return { width, height, data };
}
