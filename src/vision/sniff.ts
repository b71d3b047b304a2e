import { ImageError } from "../errors.ts";
import { jpegSegments, textAt, webpChunks } from "./containers.ts";
import { isExif, readOrientation } from "./exif.ts";

/** What the header of an image file says, before anything is decoded. */
export interface Sniffed {
	readonly format: "png" | "jpeg" | "webp";
	readonly width: number;
	readonly height: number;
	/** As EXIF numbers them, 1 to 8; 1 is upright. */
	readonly orientation: number;
}

/** Recognizes an image by its first bytes. Throws ImageError for what is none, or ends in its header. */
export function sniff(bytes: Uint8Array, where: string): Sniffed {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	try {
		if (textAt(view, 1, 3) === "PNG") return sniffPng(view);
		if (view.getUint16(0) === 0xffd8) return sniffJpeg(view);
		if (textAt(view, 0, 4) === "RIFF" && textAt(view, 8, 4) === "WEBP")
			return sniffWebp(view);
	} catch (error) {
		if (!(error instanceof RangeError)) throw error;
		throw new ImageError(
			`${where}: ends after ${bytes.length} bytes, in the header of an image`,
		);
	}
	const start = Array.from(bytes.subarray(0, 8), (byte) =>
		byte.toString(16).padStart(2, "0"),
	);
	throw new ImageError(
		`${where}: neither PNG nor JPEG nor WebP: starts with ${start.join(" ") || "nothing"}`,
	);
}

/** Signature, then the chunk IHDR with the sizes; EXIF data has a chunk of its own. */
function sniffPng(view: DataView): Sniffed {
	let orientation = 1;
	for (let at = 33; at + 12 <= view.byteLength; ) {
		const type = textAt(view, at + 4, 4);
		const length = view.getUint32(at);
		if (type === "IDAT" || type === "IEND") break;
		if (type === "eXIf") orientation = readOrientation(view, at + 8, length);
		at += 12 + length;
	}
	return {
		format: "png",
		width: view.getUint32(16),
		height: view.getUint32(20),
		orientation,
	};
}

/** A frame's segment begins with precision, height, width. */
function sniffJpeg(view: DataView): Sniffed {
	let orientation = 1;
	for (const { marker, at, length } of jpegSegments(view)) {
		const isFrame =
			marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
		if (isFrame)
			return {
				format: "jpeg",
				height: view.getUint16(at + 1),
				width: view.getUint16(at + 3),
				orientation,
			};
		if (isExif(view, marker, at))
			orientation = readOrientation(view, at + 6, length - 6);
	}
	throw new RangeError("no frame");
}

/** VP8 with loss, VP8L without, VP8X ahead of what has more chunks. */
function sniffWebp(view: DataView): Sniffed {
	const kind = textAt(view, 12, 4);
	const u16 = (at: number) => view.getUint16(at, true);
	if (kind === "VP8X") {
		const u24 = (at: number) => u16(at) | (view.getUint8(at + 2) << 16);
		return {
			format: "webp",
			width: 1 + u24(24),
			height: 1 + u24(27),
			orientation: webpOrientation(view),
		};
	}
	if (kind === "VP8L") {
		const packed = view.getUint32(21, true);
		return {
			format: "webp",
			width: 1 + (packed & 0x3fff),
			height: 1 + ((packed >>> 14) & 0x3fff),
			orientation: 1,
		};
	}
	return {
		format: "webp",
		width: u16(26) & 0x3fff,
		height: u16(28) & 0x3fff,
		orientation: 1,
	};
}

function webpOrientation(view: DataView): number {
	for (const { name, at, length } of webpChunks(view))
		if (name === "EXIF") return readOrientation(view, at, length);
	return 1;
}
