import { jpegSegments, textAt, webpChunks } from "./containers.ts";
import { isExif } from "./exif.ts";

const SCAN = 0xda;
/** The segment of colour profiles, which begin with their name. */
const PROFILE = 0xe2;
/** Among the flags that VP8X begins with. */
const HAS_ALPHA = 0x10;

/**
 * A copy of a JPEG or WebP file without what makes browsers change pixels, some of them whatever they are asked: they turn
 * an image as its EXIF data say, convert by its colour profile, and multiply by its alpha, which loses what is under it.
 */
export function bareCopy(
	bytes: Uint8Array,
	format: "jpeg" | "webp",
): Uint8Array<ArrayBuffer> {
	const copy = Uint8Array.from(bytes);
	const view = new DataView(copy.buffer);
	// Decoders pass over names that they do not know.
	const hide = (at: number) => copy.fill(0x78, at, at + 4);
	if (format === "jpeg")
		for (const { marker, at } of jpegSegments(view)) {
			if (marker === SCAN) break;
			const isProfile = marker === PROFILE && textAt(view, at, 4) === "ICC_";
			if (isProfile || isExif(view, marker, at)) hide(at);
		}
	else {
		let alpha = false;
		for (const { name, at } of webpChunks(view)) {
			if (name === "ALPH") alpha = true;
			if (["EXIF", "ICCP", "ALPH"].includes(name)) hide(at - 8);
		}
		if (alpha) copy[20]! &= ~HAS_ALPHA;
	}
	return copy;
}
