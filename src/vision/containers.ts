/** A part of a JPEG or WebP file. */
export interface Segment {
	/** A JPEG marker's second byte; 0 in WebP files. */
	readonly marker: number;
	/** Name of a WebP chunk; empty in JPEG files. */
	readonly name: string;
	/** Where its content begins, and how long the file says it is. */
	readonly at: number;
	readonly length: number;
}

export const textAt = (view: DataView, at: number, length: number): string =>
	String.fromCharCode(
		...Array.from({ length }, (_, i) => view.getUint8(at + i)),
	);

/** Segments [0xff][marker][length: u16, with itself][content], up to the scan's coded data. Throws RangeError where the file ends. */
export function* jpegSegments(view: DataView): Generator<Segment> {
	for (let at = 2; ; ) {
		if (view.getUint8(at) !== 0xff) {
			at++;
			continue;
		}
		const marker = view.getUint8(at + 1);
		// Padding, and markers without a length.
		if (marker === 0xff || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) {
			at += marker === 0xff ? 1 : 2;
			continue;
		}
		const length = Math.max(2, view.getUint16(at + 2));
		yield { marker, name: "", at: at + 4, length: length - 2 };
		at += 2 + length;
	}
}

/** RIFF chunks [name][length: u32, little-endian][content], each padded to an even length. */
export function* webpChunks(view: DataView): Generator<Segment> {
	for (let at = 12; at + 8 <= view.byteLength; ) {
		const length = view.getUint32(at + 4, true);
		yield { marker: 0, name: textAt(view, at, 4), at: at + 8, length };
		at += 8 + length + (length % 2);
	}
}
