/** Pixels: rows from the top, each from the left, a byte per channel. */
export interface RawImage {
	readonly width: number;
	readonly height: number;
	/** 1 (grey), 3 (red, green, blue) or 4 (and alpha, which is ignored). @default 4 */
	readonly channels?: 1 | 3 | 4;
	/** width · height · channels bytes. */
	readonly data: Uint8Array | Uint8ClampedArray;
}

/** Red, green and blue, three bytes a pixel. What lies under transparency counts as it is, as in transformers. */
export interface Rgb {
	readonly width: number;
	readonly height: number;
	readonly data: Uint8Array;
}

/** An image with more pixels than this is refused before anything is decoded: 67 megapixels. */
export const MAX_PIXELS = 2 ** 26;
