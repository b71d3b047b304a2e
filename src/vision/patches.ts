import type { Rgb } from "./image.ts";
import { resize } from "./resize.ts";

/** What is done to an image before a model sees it: preprocessor_config.json. */
export interface Processor {
	/** Pixels per side. */
	readonly pixels: number;
	/** Pixels per side of a patch. */
	readonly patch: number;
	/** Multiplies bytes first. */
	readonly rescale: number;
	/** Per channel: subtracted, then divided by. */
	readonly mean: readonly number[];
	readonly std: readonly number[];
}

/**
 * f32[patches, 3 · patch²]: the image, resized and normalized, cut into patches row after row; each is all reds, then all
 * greens, then all blues. What does not fill a patch, at the right and the bottom, is left out.
 */
export function patchesOf(image: Rgb, processor: Processor): Float32Array {
	const { pixels, patch, rescale, mean, std } = processor;
	const { data } = resize(image, pixels, pixels);
	const grid = Math.floor(pixels / patch);
	const area = patch * patch;
	const out = new Float32Array(grid * grid * 3 * area);
	for (let channel = 0; channel < 3; channel++) {
		const values = Float32Array.from(
			{ length: 256 },
			(_, byte) =>
				(Math.fround(byte * rescale) - mean[channel]!) / std[channel]!,
		);
		for (let y = 0; y < grid * patch; y++)
			for (let x = 0; x < grid * patch; x++) {
				const square = Math.floor(y / patch) * grid + Math.floor(x / patch);
				const at = (y % patch) * patch + (x % patch);
				out[(square * 3 + channel) * area + at] =
					values[data[3 * (y * pixels + x) + channel]!]!;
			}
	}
	return out;
}
