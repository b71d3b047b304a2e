import { textAt } from "./containers.ts";

const ORIENTATION_TAG = 0x0112;

/** Whether a JPEG segment with this content holds EXIF data, which follow "Exif\0\0". */
export const isExif = (view: DataView, marker: number, at: number): boolean =>
	marker === 0xe1 && textAt(view, at, 4) === "Exif";

/**
 * The orientation, 1 to 8, that the EXIF data in [at, at + length) gives: a TIFF header, and a list of entries of
 * [tag: u16][type: u16][count: u32][value: 4 bytes]. 1 where it says nothing or nonsense.
 */
export function readOrientation(
	view: DataView,
	at: number,
	length: number,
): number {
	const end = Math.min(at + length, view.byteLength);
	// Some writers of other containers leave JPEG's prefix "Exif\0\0" in.
	if (at + 6 <= end && view.getUint32(at) === 0x45786966) at += 6;
	if (at + 8 > end) return 1;
	const little = view.getUint16(at) === 0x4949;
	const list = at + view.getUint32(at + 4, little);
	if (list + 2 > end) return 1;
	const count = view.getUint16(list, little);
	for (let i = 0; i < count; i++) {
		const entry = list + 2 + 12 * i;
		if (entry + 12 > end) return 1;
		if (view.getUint16(entry, little) !== ORIENTATION_TAG) continue;
		const value = view.getUint16(entry + 8, little);
		return value >= 1 && value <= 8 ? value : 1;
	}
	return 1;
}
