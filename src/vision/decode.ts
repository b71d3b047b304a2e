import { ImageError, UnsupportedError } from "../errors.ts";
import { decodeOnCanvas, hasCanvas } from "./canvas.ts";
import { MAX_PIXELS, type RawImage, type Rgb } from "./image.ts";
import { checkSize, toRgb, turned } from "./rgb.ts";
import { type Sniffed, sniff } from "./sniff.ts";

/** Makes the WebP decoder's WebAssembly module, in runtimes without a decoder of their own. */
export type WebpModule = () => Promise<WebAssembly.Module>;

/**
 * Decodes a PNG, JPEG or WebP file, upright as its EXIF data says. The number of pixels is checked before. Rejects with
 * ImageError, or UnsupportedError where this runtime has no decoder for the format.
 */
export async function decodeImage(
	bytes: Uint8Array,
	where: string,
	webpModule?: WebpModule,
): Promise<Rgb> {
	const sniffed = sniff(bytes, where);
	checkSize(sniffed.width, sniffed.height, where);
	const raw = await decodeAs(sniffed, bytes, where, webpModule);
	if (raw.width !== sniffed.width || raw.height !== sniffed.height)
		throw new ImageError(
			`${where}: ${raw.width} × ${raw.height} pixels, its header says ${sniffed.width} × ${sniffed.height}`,
		);
	return turned(toRgb(raw, where), sniffed.orientation);
}

/** Decoders come in when they are needed: who reads text only never loads one. */
async function decodeAs(
	{ format }: Sniffed,
	bytes: Uint8Array,
	where: string,
	webpModule: WebpModule | undefined,
): Promise<RawImage> {
	// A canvas may lose what is under transparency, which PNG files often have.
	if (format === "png")
		return (await import("./png.ts")).decodePng(bytes, where);
	if (hasCanvas()) return decodeOnCanvas(bytes, format, where);
	try {
		if (format === "jpeg") {
			const { decode } = (await import("jpeg-js")).default;
			const image = decode(bytes, {
				useTArray: true,
				formatAsRGBA: false,
				maxResolutionInMP: MAX_PIXELS / 1e6,
				maxMemoryUsageInMB: 4096,
			});
			return { ...image, channels: 3 };
		}
		if (webpModule) {
			const { default: decode, init } = await import("@jsquash/webp/decode.js");
			await init(await webpModule());
			return await decode(Uint8Array.from(bytes).buffer);
		}
	} catch (error) {
		throw new ImageError(
			`${where}: ${format.toUpperCase()} cannot be decoded: ${error instanceof Error ? error.message : error}`,
			{ cause: error },
		);
	}
	throw new UnsupportedError(
		`${where}: this runtime cannot decode ${format.toUpperCase()}, expected PNG, JPEG or raw pixels`,
	);
}
