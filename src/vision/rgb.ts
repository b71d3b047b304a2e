import { ImageError } from "../errors.ts";
import { MAX_PIXELS, type RawImage, type Rgb } from "./image.ts";

/** Refuses sizes that no image has or that would take too much memory. Throws ImageError. */
export function checkSize(width: number, height: number, where: string): void {
	const whole = Number.isInteger(width) && Number.isInteger(height);
	if (!whole || width < 1 || height < 1)
		throw new ImageError(
			`${where}: ${width} × ${height} pixels, expected at least 1 × 1`,
		);
	if (width * height > MAX_PIXELS)
		throw new ImageError(
			`${where}: ${width} × ${height} pixels, expected at most ${MAX_PIXELS} in all`,
		);
}

/** Drops alpha, spreads grey. Throws ImageError where the sizes do not fit together. */
export function toRgb(image: RawImage, where: string): Rgb {
	const { width, height, data, channels = 4 } = image;
	checkSize(width, height, where);
	const pixels = width * height;
	if (![1, 3, 4].includes(channels) || data.length !== pixels * channels)
		throw new ImageError(
			`${where}: ${data.length} bytes for ${width} × ${height} pixels of ${channels} channels, expected ${pixels * channels}, and 1, 3 or 4 channels`,
		);
	const rgb = new Uint8Array(3 * pixels);
	const step = channels === 1 ? 0 : 1;
	for (let from = 0, to = 0; to < rgb.length; from += channels, to += 3) {
		rgb[to] = data[from]!;
		rgb[to + 1] = data[from + step]!;
		rgb[to + 2] = data[from + 2 * step]!;
	}
	return { width, height, data: rgb };
}

/**
 * Turns an image as its EXIF orientation says: 1 is upright, 2 to 4 are mirrored or upside down, 5 to 8 also have width
 * and height exchanged.
 */
export function turned(image: Rgb, orientation: number): Rgb {
	if (orientation < 2 || orientation > 8) return image;
	const { width, height, data } = image;
	const swap = orientation > 4;
	const [w, h] = swap ? [height, width] : [width, height];
	// Where the pixel at (x, y) of the result comes from: which axes run backwards, in the stored image.
	const backX = [2, 3, 7, 8].includes(orientation);
	const backY = [3, 4, 6, 7].includes(orientation);
	const out = new Uint8Array(data.length);
	for (let y = 0, to = 0; y < h; y++)
		for (let x = 0; x < w; x++, to += 3) {
			const [column, row] = swap ? [y, x] : [x, y];
			const from =
				3 *
				((backY ? height - 1 - row : row) * width +
					(backX ? width - 1 - column : column));
			out[to] = data[from]!;
			out[to + 1] = data[from + 1]!;
			out[to + 2] = data[from + 2]!;
		}
	return { width: w, height: h, data: out };
}
